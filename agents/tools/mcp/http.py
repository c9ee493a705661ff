"""A server reached by HTTP. Whatever goes wrong with one message is answered to that message alone, by its code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ErrorData, JSONRPCError, jsonrpc_message_adapter

from agents.tools.egress import CONNECT_SECONDS, async_client
from agents.tools.mcp.reach import Given
from agents.tools.mcp.wire import GONE, LOST, MESSAGE_MAX, NOT_SENT, too_large
from agents.tools.results import ToolFailure
from traces.wellformed import mended

TIMEOUT = httpx2.Timeout(30.0, connect=CONNECT_SECONDS, read=660.0)  # s; a call's own time ends before
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.LocalProtocolError)


@asynccontextmanager
async def server(url: str, given: Given) -> AsyncIterator[TransportStreams]:
    """A server by its address, as the SDK's streams of messages."""
    async with _http_client(given) as client:
        answering = cast("httpx2.AsyncClient", _Answering(client))
        async with streamable_http_client(
            url, http_client=answering, max_sse_event_size=MESSAGE_MAX
        ) as streams:
            yield streams


def _http_client(given: Given) -> httpx2.AsyncClient:
    client = async_client(given.values, TIMEOUT)
    client.params = httpx2.QueryParams(given.query)
    return client


class _Answering:
    """The part of a client that the SDK uses, which would end the whole session over one request that fails."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client
        self.build_request = client.build_request
        self.max_redirects = client.max_redirects

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        if request.method != "POST":
            return await self._client.send(request, **options)
        try:
            response = await self._client.send(request, **options)
            if response.status_code >= 400:
                return await _turned_away(request, response)
            if response.headers.get("content-type", "").lower().startswith("application/json"):
                return await _whole(request, response)
            if isinstance(response.stream, httpx2.AsyncByteStream):
                response.stream = _Mended(response.stream)
        except UNSENT as error:
            return _answer(request, NOT_SENT, f"it can't be reached ({type(error).__name__}: {error})")
        except ToolFailure as error:  # a place that tools may not reach
            return _answer(request, NOT_SENT, str(error).rstrip("."))
        except httpx2.HTTPError as error:
            return _answer(request, LOST, f"the connection was lost ({type(error).__name__}: {error})")
        return response


class _Mended(httpx2.AsyncByteStream):
    """A stream of events with whole lines of well-formed JSON."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        held = b""
        async for chunk in self._stream:
            lines, newline, rest = (held + chunk).rpartition(b"\n")
            if newline:
                yield mended(lines + newline)
            held = rest
            if len(held) > MESSAGE_MAX:  # which the reader turns away
                yield held
                held = b""
        if held:
            yield mended(held)

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _turned_away(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    status = response.status_code
    body = await _read(response, 64 * 1024)
    # The first is what the protocol says, the second what servers made with its TypeScript SDK do.
    forgotten = status == 404 or (status == 400 and b"session id" in (body or b"").lower())
    if forgotten and "mcp-session-id" in request.headers:
        return _answer(request, GONE, "it no longer knows this session")
    try:
        if body is not None and isinstance(jsonrpc_message_adapter.validate_json(body), JSONRPCError):
            return httpx2.Response(
                status, headers={"content-type": "application/json"}, content=body, request=request
            )
    except ValueError:
        pass
    return _answer(request, LOST if status >= 500 else NOT_SENT, f"it answered with the HTTP status {status}")


async def _whole(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
    body = await _read(response, MESSAGE_MAX)
    if body is None:
        error = too_large(int(response.headers.get("content-length", MESSAGE_MAX + 1)))
        return _answer(request, error.code, error.message)
    kept = {
        name: value
        for name, value in response.headers.items()
        if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
    }
    return httpx2.Response(response.status_code, headers=kept, content=mended(body), request=request)


async def _read(response: httpx2.Response, limit: int) -> bytes | None:
    """The body; None where it is larger than `limit` bytes."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)
    finally:
        await response.aclose()


def _answer(request: httpx2.Request, code: int, message: str) -> httpx2.Response:
    error = JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=code, message=message))
    return httpx2.Response(502, json=error.model_dump(exclude_none=True) | {"id": None}, request=request)
