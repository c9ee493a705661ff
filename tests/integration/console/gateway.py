"""The web application on a real socket, and real MCP clients in front of it."""

import asyncio
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import httpx2
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ListToolsResult

from tests.waiting import until

T = TypeVar("T")


@contextmanager
def serving() -> Iterator[str]:
    """The application under uvicorn in a thread of this process; where it is."""
    from console.asgi import application

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, log_level="error", lifespan="on", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        until(lambda: server.started, "the application answers", seconds=20)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@asynccontextmanager
async def client(url: str, token: str, **headers: str) -> AsyncIterator[Client]:
    """A real MCP client with this token."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    async with (
        httpx2.AsyncClient(headers=sent, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as connected,
    ):
        yield connected


def using(url: str, token: str, work: Callable[[Client], Awaitable[T]], **headers: str) -> T:
    """What `work` returns with a client of its own."""

    async def run() -> T:
        async with client(url, token, **headers) as connected:
            return await work(connected)

    with warnings.catch_warnings():
        return asyncio.run(run())


def call(
    url: str, token: str, tool: str, /, meta: dict[str, Any] | None = None, **arguments: Any
) -> CallToolResult:
    """One call by a client that comes and goes."""
    return using(url, token, lambda it: it.call_tool(tool, arguments, meta=meta))  # type: ignore[arg-type]


def tools_at(where: str, headers: dict[str, str]) -> set[str]:
    """The names of the tools that a client with these settings sees."""

    async def look() -> ListToolsResult:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(where, http_client=http)) as it,
        ):
            return await it.list_tools()

    return {tool.name for tool in asyncio.run(look()).tools}


def text_of(result: CallToolResult) -> str:
    """What a model reads of it."""
    return "\n".join(getattr(part, "text", "") for part in result.content)


def meta_of(result: CallToolResult) -> dict[str, Any]:
    """What the gateway says beside the result."""
    assert result.meta is not None
    return result.meta
