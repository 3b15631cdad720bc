"""Stands before the app: refuses what is too large before it is read, and what is malformed; lets nobody push in.

Gradio reads a body of any size, answers some that make no sense as if it had failed itself, fetches pictures from the
addresses that a program sends it, and serves in order of arrival, however many come from one visitor.
"""

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

GATE = Path(__file__).resolve()
ROOT = GATE.parent.parent
LARGEST = 2**20  # bytes of a request, but for uploads
LARGEST_UPLOAD = 10 * 2**20  # bytes
LONGEST_QUERY = 2048  # bytes; Gradio remembers some for ever
LONGEST_NAME = 64  # characters that a page calls itself by, which Gradio remembers too
PATIENCE = 30  # seconds for the next part of a body
PATIENCE_IN_ALL = 300  # seconds
ABREAST = 4  # questions of one address that are worked on at a time; drawings are read one after another anyway
LARGE = 2**15  # bytes of a drawing that takes as long as ten others
PAGES = ("", "config", "info", "openapi.json")  # as long, too: for each, Gradio copies all it says of the page
PAUSE = 0.02  # seconds between two such costly questions of one address
WAITING = 300  # of one address, which may be a school's; each holds its body
CROWDED = "Too much is asked from this address at once; try again in a moment."
UPLOADS = "/gradio_api/upload"
# Of Gradio's doors, those that nothing here needs; some fetch what they are told to.
CLOSED = ("/proxy=", "/file=http", "/file/", "/process_recording", "/deep_link", "/dev/reload")


class Refused(Exception):
    """A status of HTTP, and a sentence for whoever asked."""


class Line:
    """Of one address: what it asks, of which others wait for `ABREAST` at most, and for one that is costly."""

    def __init__(self) -> None:
        self.places, self.costly = asyncio.Semaphore(ABREAST), asyncio.Lock()
        self.standing = 0


class Gate:
    """ASGI middleware: to each request, at worst a status of 4xx with a sentence."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self.lines: dict[str, Line] = {}  # by address

    @contextmanager
    def line(self, scope: Message) -> Iterator["Line"]:
        """A stand in the one of this address."""
        line = self.lines.setdefault(address_of(scope), Line())
        if line.standing >= WAITING:
            raise Refused(429, CROWDED)
        line.standing += 1
        try:
            yield line
        finally:
            line.standing -= 1
            if not line.standing:
                del self.lines[address_of(scope)]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answered, costly = False, False
        async with AsyncExitStack() as held:

            async def answer(message: Message) -> None:
                nonlocal answered
                if not answered:  # the work is done: who is slow to read it holds no place
                    answered, done = True, held.pop_all()
                    if costly:
                        asyncio.get_running_loop().call_later(PAUSE, lambda: asyncio.ensure_future(done.aclose()))
                    else:
                        await done.aclose()
                await send(message)

            try:
                check(scope)
                receive = counted(scope, receive)
                line = held.enter_context(self.line(scope))
                if not leads_to(scope, UPLOADS):  # which the app receives itself
                    body = b""
                    if scope["method"] == "POST":
                        body, receive = await kept(receive)  # first: one that never comes must not take a place
                        check_json(body)
                    costly = len(body) > LARGE or is_page(scope)
                    if costly:
                        await held.enter_async_context(line.costly)
                    await held.enter_async_context(line.places)
                await self.app(scope, receive, answer)
            except Exception as error:
                if answered:
                    raise
                if not isinstance(error, Refused):
                    print(f"refused {scope['method']} {scope['path'][:100]!r}: {type(error).__name__}", file=sys.stderr)
                    if is_ours(error):
                        traceback.print_exception(error)
                    error = Refused(400, "This request makes no sense here; reload the page.")
                await refuse(send, *error.args)


def is_ours(error: Exception) -> bool:
    """Did this program fail, and not only Gradio with what it was sent?"""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    return any(ROOT in file.parents and file != GATE and "site-packages" not in file.parts for file in files)


def address_of(scope: Message) -> str:
    return (scope.get("client") or [""])[0]


def leads_to(scope: Message, path: str) -> bool:
    return scope["path"].rstrip("/").endswith(path)


def is_page(scope: Message) -> bool:
    """Or what Gradio says of it."""
    path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
    return path.rpartition("/")[2] in PAGES


async def refuse(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": sentence}).encode()})


def check(scope: Message) -> None:
    """What can be told before a body is read."""
    if any(door in scope["path"] for door in CLOSED):
        raise Refused(404, "There is nothing here.")
    if len(scope["query_string"]) > LONGEST_QUERY:
        raise Refused(414, "This address is too long.")
    kinds = [value.lower() for name, value in scope["headers"] if name == b"content-type"]
    if any(b"multipart" in kind for kind in kinds) and not leads_to(scope, UPLOADS):
        raise Refused(415, "Files must be uploaded.")  # Gradio may leave them on the disk, elsewhere
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > limit(scope):
        raise too_large(scope)


def limit(scope: Message) -> int:
    return LARGEST_UPLOAD if leads_to(scope, UPLOADS) else LARGEST


def too_large(scope: Message) -> Refused:
    return Refused(413, f"This is larger than {limit(scope) // 2**20} MB, which is all that is read here.")


def counted(scope: Message, receive: Receive) -> Receive:
    """`receive`, of no more than is allowed, and without long pauses."""
    size, whole, end = 0, False, time.monotonic() + PATIENCE_IN_ALL

    async def next_part() -> Message:
        nonlocal size, whole
        if whole:
            return await receive()  # that the visitor has left, whenever that may be
        try:
            message = await asyncio.wait_for(receive(), min(PATIENCE, end - time.monotonic()))
        except TimeoutError:
            raise Refused(408, "This took too long to arrive; send it again.") from None
        size += len(message.get("body", b""))
        whole = not message.get("more_body")
        if size > limit(scope):
            raise too_large(scope)
        return message

    return next_part


async def kept(receive: Receive) -> tuple[bytes, Receive]:
    """A body, and a `receive` that gives it again."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return b"".join(message.get("body", b"") for message in messages), again


def check_json(body: bytes) -> None:
    """What Gradio must not see; what is no JSON it refuses itself."""

    def look(value: dict[str, Any]) -> None:
        if isinstance(value.get("path"), str) and "://" in value["path"]:
            raise Refused(400, "A picture must be uploaded; addresses are not fetched.")
        if len(str(value.get("session_hash"))) > LONGEST_NAME:
            raise Refused(400, "The name of this session is too long.")

    with suppress(ValueError, RecursionError):
        json.loads(body, object_hook=look)
