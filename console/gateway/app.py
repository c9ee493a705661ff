"""The gateway as an ASGI application: who calls is known before anything is read, and a lost answer is noticed."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from django.db import Error
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from agents.direct import note_heard
from console.gateway.caller import STATE, Caller, Refused, caller_of
from console.gateway.server import server
from console.gateway.threads import in_thread
from traces.wellformed import mended

log = structlog.get_logger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH = "/mcp"
MAX_BODY = 2 * 1024 * 1024  # bytes
CHALLENGE = (
    'Bearer realm="gatehouse", error="invalid_token", '
    'error_description="Send a token of the console: Authorization: Bearer gth_..."'
)


class Gateway:
    """Serves one process. Requests stand alone, so that any web process can take any of them."""

    def __init__(self) -> None:
        self._sessions: StreamableHTTPSessionManager | None = None

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run for as long as the web server does."""
        while (await receive())["type"] != "lifespan.startup":
            pass
        sessions = StreamableHTTPSessionManager(server, stateless=True, max_request_body_size=MAX_BODY)
        async with sessions.run():
            self._sessions = sessions
            await send({"type": "lifespan.startup.complete"})
            while (await receive())["type"] != "lifespan.shutdown":
                pass
            self._sessions = None
        await send({"type": "lifespan.shutdown.complete"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        try:
            caller = await in_thread(caller_of, header.decode("latin-1"))
        except Error:
            await _refuse(send, 503, "The database does not answer; try again.")
            return
        except Refused as refused:
            await _refuse(send, refused.status, str(refused), retry_after=refused.retry_after)
            return
        if caller is None:
            await _refuse(send, 401, "No token, or one that is unknown, expired or revoked.", challenge=True)
        elif self._sessions is None:
            await _refuse(send, 503, "The gateway is starting or ending; try again.")
        else:
            await self._serve(self._sessions, caller, scope, receive, send)

    async def _serve(
        self,
        sessions: StreamableHTTPSessionManager,
        caller: Caller,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        line = _Line(_mending(receive), send)
        scope[STATE] = caller
        await sessions.handle_request(scope, line.receive, line.send)
        if line.arrived:
            for run in caller.told:
                await in_thread(note_heard, run)


def _mending(receive: Receive) -> Receive:
    """The body in one piece, as every parser takes it; what is too large for that goes on as it came."""
    held, done = b"", False

    async def whole() -> MutableMapping[str, Any]:
        nonlocal held, done
        while True:
            message = await receive()
            if done or message["type"] != "http.request":
                return message
            held += message.get("body", b"")
            done = not message.get("more_body", False)
            if done or len(held) > MAX_BODY:
                body, held = held, b""
                return {"type": "http.request", "body": mended(body) if done else body, "more_body": not done}

    return whole


class _Line:
    """A connection, of which is known whether the whole answer went over it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._lost = self._sent = False

    @property
    def arrived(self) -> bool:
        return self._sent and not self._lost

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._sent:
            self._lost = True
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._sent = True


async def _refuse(
    send: Send, status: int, detail: str, *, challenge: bool = False, retry_after: int = 0
) -> None:
    body = json.dumps({"type": "about:blank", "status": status, "detail": detail}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if challenge:
        headers.append((b"www-authenticate", CHALLENGE.encode()))
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


gateway = Gateway()
