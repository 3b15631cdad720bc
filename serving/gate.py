"""What stands in front of Gradio's app and refuses, in one sentence, what would harm the server. It guards against

- bodies that are too large or arrive too slowly;
- one address that asks for everything at once: it has a few requests worked on at a time, and one that is costly;
- programs that make the server fetch an address or a file for them, by Gradio routes that the page does not use;
- long names that Gradio would remember for ever;
- malformed requests at which Gradio fails: they are answered by 400, not by 500 and a page of traceback in the log.

It cannot guard against what is not yet a request, nor against many addresses together. On the open internet, put a
reverse proxy such as nginx in front, which bounds the connections of an address, closes those that send nothing, and
serves a slow reader from a buffer; and let it set X-Forwarded-For, or all visitors count as one address.
"""

import asyncio
import json
import sys
from contextlib import suppress
from typing import Any
from weakref import WeakValueDictionary

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import limits

CROWDED = "Too many requests come from this address at once. Try again in a moment."
MALFORMED = "This request cannot be handled. Reload the page."
TOO_SLOW = "This took too long to arrive. Send it again."
TOO_LARGE = f"This is larger than {limits.BODY_BYTES // 2**20} MB, the most that is read here."
UPLOAD = "/upload"
SERVER_FUNCTION = "/component_server"  # by which the pad and Inside ask
PAGES = ("", "config", "info", "openapi.json")  # what Gradio makes anew for each visit
UNUSED = ("/proxy=", "/file=http", "/file/", "/process_recording", "/deep_link", "/dev/reload")  # parts of paths


class Refused(Exception):
    """An HTTP status, and a sentence for the visitor."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Address:
    """What one address has under way."""

    def __init__(self) -> None:
        self.waiting = 0
        self.places = asyncio.Semaphore(limits.AT_ONCE)
        self.costly = asyncio.Semaphore(1)
        self.uploads = asyncio.Semaphore(limits.UPLOADS_AT_ONCE)


class Turn:
    """A request's turn among those of its address. It ends when the answer begins, so slow readers hold no place."""

    def __init__(self, address: Address) -> None:
        self.address, self.over, self.pause = address, False, 0.0
        self.held: list[asyncio.Semaphore] = []
        address.waiting += 1

    async def take(self, points: int) -> None:
        costly = points > limits.COSTLY_POINTS
        self.pause = limits.SECONDS_A_POINT * points if costly else 0.0
        for place in (self.address.costly, self.address.places) if costly else (self.address.places,):
            await place.acquire()
            self.held.append(place)

    def end(self) -> None:
        if not self.over:
            self.over = True
            self.address.waiting -= 1
            asyncio.get_running_loop().call_later(self.pause, self.release)

    def release(self) -> None:
        for place in self.held:
            place.release()


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.upload = app, RequestBodyLimitMiddleware(app, limits.UPLOAD_BYTES)
        self.addresses: WeakValueDictionary[str, Address] = WeakValueDictionary()  # those with a turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        turn = Turn(self.addresses.setdefault(address_of(scope), Address()))

        async def answer(message: Message) -> None:
            turn.end()
            await send(message)

        try:
            check_head(scope)
            await self.serve(turn, scope, receive, answer)
        except Exception as error:
            if turn.over:
                raise
            await refuse(error, scope, receive, send)
        finally:
            turn.end()

    async def serve(self, turn: Turn, scope: Scope, receive: Receive, answer: Send) -> None:
        if turn.address.waiting > limits.WAITING:
            raise Refused(429, CROWDED)
        if leads_to(scope, UPLOAD):
            async with turn.address.uploads, asyncio.timeout(limits.UPLOAD_SECONDS):
                await self.upload(scope, receive, answer)
            return
        points = limits.PAGE_POINTS if is_page(scope) else 0
        if scope["method"] == "POST":
            async with asyncio.timeout(limits.BODY_SECONDS):  # before it takes a place
                body = await read_body(receive)
            points += check_body(body)
            receive = replay(body, receive)
        await turn.take(points)
        await self.app(scope, receive, answer)


def address_of(scope: Scope) -> str:
    return (scope.get("client") or [""])[0]


def leads_to(scope: Scope, route: str) -> bool:
    return scope["path"].rstrip("/").endswith(route)


def is_page(scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
    return path.rpartition("/")[2] in PAGES


def check_head(scope: Scope) -> None:
    """What can be told before the body is there. Raises `Refused`."""
    if any(part in scope["path"] for part in UNUSED):
        raise Refused(404, "There is nothing here.")
    if len(scope["query_string"]) > limits.QUERY_BYTES:
        raise Refused(414, "This address is too long.")
    headers = Headers(scope=scope)
    if any("multipart" in kind.lower() for kind in headers.getlist("content-type")) and not leads_to(scope, UPLOAD):
        raise Refused(415, "Files must be uploaded.")  # Gradio would write them to another folder and leave them there
    length = headers.get("content-length", "0")
    if not leads_to(scope, UPLOAD) and not (length.isdigit() and int(length) <= limits.BODY_BYTES):
        raise Refused(413, TOO_LARGE)


async def read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limits.BODY_BYTES:
            raise Refused(413, TOO_LARGE)
        if not message.get("more_body"):
            return body


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body, then what comes after it."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def check_body(body: bytes) -> int:
    """-> how many points the drawing in it counts as: 0 without one. Raises `Refused` for what Gradio must not see."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        if isinstance(value.get("path"), str) and "://" in value["path"]:
            raise Refused(400, "A picture must be uploaded. Addresses are not fetched.")
        if len(str(value.get("session_hash"))) > limits.SESSION_CHARACTERS:
            raise Refused(400, "The name of this session is too long.")
        return value

    with suppress(ValueError, RecursionError):  # what is no JSON, Gradio refuses
        match json.loads(body, object_hook=check):
            case {"data": {"strokes": [*strokes]}} | {"data": [[*strokes], *_]}:  # of the pad, of a program
                return sum(max(limits.CURVE_POINTS, len(stroke)) for stroke in strokes if isinstance(stroke, list))
    return 0


async def refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the sentence: as an error, or as a reading of the pad, whose script sees the data of a 200 alone."""
    if isinstance(error, TimeoutError):
        error = Refused(408, TOO_SLOW)
    if not isinstance(error, Refused):
        print(f"refused {scope['method']} {scope['path'][:100]!r}: {type(error).__name__}", file=sys.stderr)
        error = Refused(400, MALFORMED)
    status, data = error.status, {"detail": error.sentence}
    if leads_to(scope, SERVER_FUNCTION):
        status, data = 200, {"error": error.sentence}
    await JSONResponse(data, status, {"connection": "close"})(scope, receive, send)


def bad_request(*_: object) -> JSONResponse:
    """Gradio fails outside the gate at a request that names no host."""
    return JSONResponse({"detail": MALFORMED}, 400)


APP_KWARGS = {"middleware": [Middleware(Gate)], "exception_handlers": {Exception: bad_request}}  # for `launch`
