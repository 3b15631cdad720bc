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
ABREAST = 4  # drawings of one address that are read at a time; all are read one after another anyway
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
        if not leads_to(scope, DRAWINGS):
            yield
            return
        address = (scope.get("client") or [""])[0]
        places, standing = self.lines.setdefault(address, (asyncio.Semaphore(ABREAST), []))
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
            receive = await checked(scope, receive)  # first, for a body that never comes must not stand in line
            async with self.in_line(scope):
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


def leads_to(scope: Message, path: str) -> bool:
    return scope["path"].rstrip("/").endswith(path)


async def refuse(send: Send, status: int, sentence: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": sentence}).encode()})


async def checked(scope: Message, receive: Receive) -> Receive:
    """`receive`, of no more than is allowed; but for uploads, all of it is read and looked at first."""
    if any(door in scope["path"] for door in CLOSED):
        raise Refused(404, "There is nothing here.")
    upload = leads_to(scope, "/upload")
    limit = LARGEST_UPLOAD if upload else LARGEST
    too_large = Refused(413, f"This is larger than {limit // 2**20} MB, which is all that is read here.")
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit() or int(announced) > limit:
        raise too_large
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            raise too_large
        return message

    if scope["method"] != "POST" or upload:
        return counted
    messages = [await counted()]
    while messages[-1].get("more_body"):
        messages.append(await counted())
    if not leads_to(scope, DRAWINGS) and names_an_address(b"".join(message.get("body", b"") for message in messages)):
        raise Refused(400, "A picture must be uploaded; addresses are not fetched.")

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


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
