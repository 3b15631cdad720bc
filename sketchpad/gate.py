"""Stands before the app: refuses what is too large before it is read, and what is malformed; lets nobody push in.

Gradio reads a body of any size, answers some that make no sense as if it had failed itself, fetches pictures from the
addresses that a program sends it, and serves in order of arrival, however many come from one visitor.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
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
PATIENCE = 30  # seconds for the next part of a body
ABREAST = 4  # questions of one address that are worked on at a time; drawings are read one after another anyway
WAITING = 300  # of one address, which may be a school's; each holds its body
CROWDED = "Too much is asked from this address at once; try again in a moment."
UPLOADS = "/gradio_api/upload"
DRAWINGS = "/component_server"  # where they are sent; they name no file
# Of Gradio's doors, those that nothing here needs; some fetch what they are told to.
CLOSED = ("/proxy=", "/file=http", "/file/", "/process_recording", "/deep_link")


class Refused(Exception):
    """A status of HTTP, and a sentence for whoever asked."""


class Gate:
    """ASGI middleware: to each request, at worst a status of 4xx with a sentence."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self.lines: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}  # by address, with those who stand in it

    @asynccontextmanager
    async def in_line(self, scope: Message) -> AsyncIterator[None]:
        """More than `ABREAST` of one address wait for one another, so that others need not wait for them."""
        if scope["method"] != "POST" or leads_to(scope, UPLOADS):
            yield
            return
        address = address_of(scope)
        places, standing = self.lines.setdefault(address, (asyncio.Semaphore(ABREAST), []))
        if len(standing) >= WAITING:
            raise Refused(429, CROWDED)
        standing.append(None)
        try:
            async with places:
                yield
        finally:
            standing.pop()
            if not standing:
                del self.lines[address]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answered = False

        async def answer(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            check(scope)
            body, receive = b"", counted(scope, receive)
            if scope["method"] == "POST" and not leads_to(scope, UPLOADS):
                body, receive = await kept(receive)  # first, for one that never comes must not stand in line
            async with self.in_line(scope):
                if not leads_to(scope, DRAWINGS) and names_an_address(body):
                    raise Refused(400, "A picture must be uploaded; addresses are not fetched.")
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
    size, whole = 0, False

    async def next_part() -> Message:
        nonlocal size, whole
        if whole:
            return await receive()  # that the visitor has left, whenever that may be
        try:
            message = await asyncio.wait_for(receive(), PATIENCE)
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


def names_an_address(body: bytes) -> bool:
    """Does JSON have a file whose path is none, but an address?"""
    try:
        waiting = [json.loads(body)]
    except (ValueError, RecursionError):
        return False  # which the app refuses
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str) and "://" in value["path"]:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False
