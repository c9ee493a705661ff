"""One live connection to a server: from its handshake to its end, with what the server last told of its tools."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

from mcp.client._transport import TransportStreams
from mcp.client.session import ClientSession, IncomingMessage
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.types import (
    METHOD_NOT_FOUND,
    UNSUPPORTED_PROTOCOL_VERSION,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    InputRequiredResult,
    PaginatedRequestParams,
    Tool,
    ToolListChangedNotification,
)
from pydantic import TypeAdapter, ValidationError

from agents.config.tools import McpServer
from agents.tools.mcp import http, stdio
from agents.tools.mcp.reach import Given, Stamp, Unreachable

IDLE_SECONDS = 600  # without a call, after which it is closed
LOOK_SECONDS = 60  # without a call, after which it is asked whether it is still there
PING_SECONDS = 10
LISTING_SECONDS = 300  # for which what it told of its tools is believed
TOOLS_MAX = 1000
PAGES_MAX = 100

Reply = CallToolResult | InputRequiredResult
_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply)
_WE = Implementation(name="gatehouse", version="1")


@dataclass(slots=True)
class Listing:
    """What the server told of its tools, and since when that is believed."""

    tools: list[Tool]
    begun: float
    noted: bool = False  # compared with what is pinned


class Connection:
    """A server that is being reached, is there, or is gone (`over`). All of it belongs to one event loop."""

    def __init__(self, spec: McpServer, given: Given, stamp: Stamp, *, tell: Callable[[], None]) -> None:
        """`tell` is called when the server says that its tools changed."""
        self.spec, self.given, self.stamp = spec, given, stamp
        self.over = asyncio.Event()
        self.listing = Listing([], begun=float("-inf"))
        self._errors = stdio.Errors()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listing_lock = asyncio.Lock()
        self._tell = tell
        self._told_at = float("-inf")  # when it last said that its tools changed
        self._calls = 0
        self._used_at = time.monotonic()
        self._retired = False
        self._life = asyncio.create_task(self._live())

    async def reached(self) -> None:
        """Wait until it can be called. Raises Unreachable."""
        await asyncio.shield(self._ready)

    async def closed(self) -> None:
        """End it, and wait for that."""
        self.over.set()
        await asyncio.wait([self._life])

    def retire(self) -> None:
        """End it once its last call has its answer."""
        self._retired = True
        if not self._calls:
            self.over.set()

    def said(self) -> str:
        """The last lines that the program wrote to its standard error; empty for a server with an address."""
        return self.given.mask(str(self._errors))

    async def fresh_listing(self, since: float = 0) -> Listing:
        """Its tools as it told them `since` then, not long ago, and after it last said that they changed.

        Raises MCPError, ValidationError.
        """
        since = max(since, self._told_at, time.monotonic() - LISTING_SECONDS)
        async with self._listing_lock:
            if self.listing.begun < since:
                await self._list()
            return self.listing

    async def call(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        meta: dict[str, Any],
        seconds: float,
        progress: ProgressFnT | None,
    ) -> Reply:
        """Call a tool. When `seconds` are over, or this is cancelled, the server is told to stop.

        Raises MCPError; ValidationError for a reply that is no result.
        """
        self._calls += 1
        try:
            params = CallToolRequestParams(name=name, arguments=arguments, _meta=meta)
            # Not by `call_tool`: it would ask for the tools again, and lose a result that is not as announced.
            return await self._client.send_request(
                CallToolRequest(params=params),
                _REPLY,
                request_read_timeout_seconds=seconds,
                progress_callback=progress,
            )
        finally:
            self._calls -= 1
            self._used_at = time.monotonic()
            if self._retired and not self._calls:
                self.over.set()

    async def is_there(self) -> bool:
        """Whether it answers; one that doesn't, and has no other call to answer, is given up."""
        if self._client.initialize_result is None:
            return True  # the newest protocol knows no way to ask
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._client.send_ping()
        except TimeoutError:
            answers = False
        except MCPError as error:
            answers = error.code == METHOD_NOT_FOUND
        else:
            answers = True
        if not answers and not self._calls:
            self.over.set()
        return answers

    async def _live(self) -> None:
        why: BaseException | str = "it was closed"
        try:
            async with AsyncExitStack() as stack:
                read, write = await stack.enter_async_context(self._transport())
                session = ClientSession(read, write, message_handler=self._hear, client_info=_WE)
                self._client = await stack.enter_async_context(session)
                try:
                    async with asyncio.timeout(self.spec.start_timeout):
                        await self._negotiate()
                        async with self._listing_lock:
                            await self._list()
                except TimeoutError:
                    why = f"it did not answer within {self.spec.start_timeout:g} s"
                    return
                except (MCPError, ValidationError, Unreachable, RuntimeError) as error:
                    why = error
                    return
                self._ready.set_result(None)
                await self._until_over()
        except (Exception, asyncio.CancelledError) as error:  # what a transport raises is its own affair
            why = error
        finally:
            self.over.set()
            if not self._ready.done():
                self._ready.set_exception(Unreachable(self._why(why)))
                self._ready.exception()  # nobody may be waiting

    def _transport(self) -> AbstractAsyncContextManager[TransportStreams]:
        if self.spec.url:
            return http.server(self.spec.url, self.given)
        return stdio.program(self.spec.command, self.given.values, errors=self._errors, ended=self.over.set)

    async def _negotiate(self) -> None:
        """By the handshake that all servers know, which alone lets them say that their tools changed."""
        try:
            await self._client.initialize()
        except MCPError as error:
            if error.code != UNSUPPORTED_PROTOCOL_VERSION:
                raise
            await self._client.discover()

    async def _list(self) -> None:
        begun, tools, cursor = time.monotonic(), [], None
        for _ in range(PAGES_MAX):
            page = await self._client.list_tools(params=PaginatedRequestParams(cursor=cursor))
            tools.extend(page.tools)
            cursor = page.next_cursor
            if cursor is None or len(tools) >= TOOLS_MAX:
                break
        self.listing = Listing(tools[:TOOLS_MAX], begun)

    async def _until_over(self) -> None:
        while not self.over.is_set():
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self.over.wait()
            except TimeoutError:
                if not self._calls and time.monotonic() - self._used_at > IDLE_SECONDS:
                    self.over.set()
                elif not self._calls:
                    await self.is_there()

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._told_at = time.monotonic()
            self._tell()

    def _why(self, why: BaseException | str) -> str:
        while isinstance(why, BaseExceptionGroup):
            why = why.exceptions[0]
        match why:
            case ValidationError():
                words = "it answered with what is no message of this protocol"
            case FileNotFoundError():
                words = f"there is no program {self.spec.command[0]!r}"
            case MCPError() | str() | Unreachable():
                words = self.given.mask(str(why))
            case _:
                words = self.given.mask(f"{type(why).__name__}: {why}")
        said = self.said()
        return f"{words}. It last said: {said}" if said else f"{words}."
