"""The sessions with MCP servers that this process holds: one for each server, on one event loop in one thread.

A session is begun by the first call, kept, closed when nobody calls for long, and begun again when it is needed. A
server that can't be started is left alone for a while, longer each time.
"""

import asyncio
import atexit
import logging
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

import structlog
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from agents.config.tools import McpServer
from agents.tools.mcp import listing, stdio
from agents.tools.mcp.connection import Connection, Reply
from agents.tools.mcp.reach import Given, Stamp, Unreachable, given_to, key_of, stamp_of
from agents.tools.mcp.stopping import stoppable

log = structlog.get_logger(__name__)
# They log addresses and messages as they are, and those may hold secrets.
for name in ("client", "mcp.client", "mcp.shared"):
    logging.getLogger(name).setLevel(logging.CRITICAL)
logging.getLogger("httpx2").setLevel(logging.WARNING)

REST_SECONDS = (1, 2, 5, 10, 30, 60)  # after so many failures in a row to reach it
TELL_EVERY = 1.0  # s; a server may say as often as it likes that its tools changed

T = TypeVar("T")


class Session:
    """The way to one server, over as many connections as it takes. Its methods may be called by any thread."""

    def __init__(self, spec: McpServer, key: str) -> None:
        self.spec, self.key = spec, key
        self._connection: Connection | None = None
        self._starting: asyncio.Task[Connection] | None = None
        self._failures, self._rest_until, self._why = 0, 0.0, ""
        self._noting = threading.Lock()
        self._telling: asyncio.Task[None] | None = None

    def ready(self, deadline: float, *, anew: bool = False) -> Connection:
        """A connection whose tools are known as they are now, and compared with those that are pinned.

        `deadline` is by the monotonic clock; `anew`: the tools are listed again, whatever is known. Raises Unreachable, where nothing was sent; ToolFailure where a
        credential can't be read.
        """
        stamp, since = stamp_of(self.spec), time.monotonic() if anew else 0.0
        for last in (False, True):
            connection = self._connection
            if connection is None or connection.over.is_set() or connection.stamp != stamp:
                given = given_to(self.spec)
                connection = self._within(self._connect(given, stamp), deadline, "is still being started")
            try:
                told = self._within(
                    connection.fresh_listing(since), deadline, "did not tell its tools in time"
                )
            except (MCPError, ValidationError) as error:  # it went away meanwhile
                self.give_up(connection)
                if last:
                    words = connection.given.mask(str(error))
                    raise Unreachable(f"{self.spec.name} did not tell its tools: {words}") from error
                continue
            with self._noting:
                if not told.noted:
                    listing.note(self.spec, self.key, told)
            return connection
        raise AssertionError

    def call(
        self,
        connection: Connection,
        name: str,
        arguments: dict[str, Any],
        *,
        meta: dict[str, Any],
        deadline: float,
        progress: ProgressFnT | None,
        stop_with: str = "",
    ) -> Reply:
        """Call a tool over a connection; it is cancelled with the reads of the run `stop_with`.

        Raises what `Connection.call` raises; TimeoutError, CancelledError.
        """
        seconds = max(deadline - time.monotonic(), 0.05)
        calling = connection.call(name, arguments, meta=meta, seconds=seconds, progress=progress)
        future = asyncio.run_coroutine_threadsafe(calling, loop())
        with stoppable(future, stop_with):
            return _result(future, seconds + 0.2)

    def give_up(self, connection: Connection) -> None:
        """End a connection that is of no use any more; the next call makes a new one."""
        if self._connection is connection:
            self._connection = None
        loop().call_soon_threadsafe(connection.over.set)

    def look_at(self, connection: Connection) -> None:
        """After a call that got no answer: find out whether the server still gives any."""
        asyncio.run_coroutine_threadsafe(connection.is_there(), loop())

    def _within(self, work: Coroutine[Any, Any, T], deadline: float, late: str) -> T:
        try:
            return run(work, max(deadline - time.monotonic(), 0.05))
        except TimeoutError as error:
            raise Unreachable(f"{self.spec.name} {late}.") from error

    async def _connect(self, given: Given, stamp: Stamp) -> Connection:
        known = self._connection
        if known is not None and not known.over.is_set() and known.stamp == stamp:
            return known
        if self._starting is None or self._starting.done():
            if (rest := self._rest_until - time.monotonic()) > 0:
                raise Unreachable(f"{self._why} It is tried again in {rest:.0f} s.")
            self._starting = asyncio.create_task(self._start(given, stamp))
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._starting)

    async def _start(self, given: Given, stamp: Stamp) -> Connection:
        """A new connection; who waits for it may leave, it is made all the same."""
        if self._connection is not None:
            self._connection.retire()
        connection = Connection(self.spec, given, stamp, tell=self._tools_changed)
        try:
            await connection.reached()
        except Unreachable as error:
            rest = REST_SECONDS[min(self._failures, len(REST_SECONDS) - 1)]
            self._failures, self._rest_until = self._failures + 1, time.monotonic() + rest
            verb = "reached" if self.spec.url else "started"
            self._why = f"The MCP server {self.spec.name} could not be {verb}: {error}"
            raise Unreachable(self._why) from error
        self._failures, self._connection = 0, connection
        return connection

    def _tools_changed(self) -> None:
        """Look at its tools soon, so that a change is known before the next call."""
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._look())

    async def _look(self) -> None:
        await asyncio.sleep(TELL_EVERY)
        connection = self._connection
        if connection is None or connection.over.is_set():
            return
        try:
            told = await connection.fresh_listing()
            await asyncio.to_thread(listing.note_by_itself, self.spec, self.key, told, self._noting)
        except Exception:  # the next call looks again, and says what is wrong
            log.warning("mcp.listing_failed", server=self.spec.name, exc_info=True)

    async def close(self) -> None:
        """End it, now."""
        if self._telling is not None:
            self._telling.cancel()
        if self._connection is not None:
            await self._connection.closed()


_sessions: dict[str, Session] = {}
_lock = threading.Lock()


def session_of(spec: McpServer) -> Session:
    """The session with this server."""
    key = key_of(spec)
    with _lock:
        if key not in _sessions:
            _sessions[key] = Session(spec, key)
        return _sessions[key]


def close_all(seconds: float = 10) -> None:
    """End all sessions, and the programs that were started for them."""
    with _lock:
        open_ones = list(_sessions.values())
        _sessions.clear()

    async def close() -> None:
        await asyncio.gather(*(session.close() for session in open_ones), return_exceptions=True)

    if open_ones:
        try:
            run(close(), seconds)
        except TimeoutError:
            log.warning("mcp.close_took_too_long")
    stdio.kill_all()


def run(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What `work` returns or raises on the loop; TimeoutError after `seconds`, when it is cancelled."""
    return _result(asyncio.run_coroutine_threadsafe(work, loop()), seconds)


def _result(future: Future[T], seconds: float) -> T:
    try:
        return future.result(seconds)
    except TimeoutError:
        future.cancel()
        raise


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The loop of all sessions; its thread runs as long as the process does."""
    made = asyncio.SelectorEventLoop()
    threading.Thread(target=made.run_forever, name="mcp sessions", daemon=True).start()
    atexit.register(close_all, 3)
    return made
