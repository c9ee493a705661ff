"""A breaker per tool, shared by all workers: a tool that fails again and again is left alone for a while.

Five failures within a minute open it. After half a minute one call is let through to try; that it works closes the
breaker, that it fails keeps it open. While Valkey is away all breakers are closed: a tool in trouble is then called
in vain, which is what would happen without them.
"""

import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from agents.tools.spec import Tool
from agents.valkey import Away, valkey

log = structlog.get_logger(__name__)

FAILURES = 5
WINDOW_SECONDS = 60
REST_SECONDS = 30
LOOK_EVERY = 1.0  # s; so long a worker may not know what another found

OPEN = "gatehouse:tools:open"  # source of each tool whose breaker is open, and since when


class Breakers:
    """The breakers as one process knows them. A tool that works costs no question to Valkey."""

    def __init__(self) -> None:
        self._open: dict[str, float] = {}
        self._look_at = 0.0
        self._looking = threading.Lock()

    def unavailable_since(self, tool: Tool) -> datetime | None:
        """Since when the tool is to be left alone; None: it may be called, or this caller is the one who tries."""
        self._look()
        since = self._open.get(tool.source)
        if since is None:
            return None
        try:
            if valkey().set(_resting(tool), "1", nx=True, ex=REST_SECONDS):
                return None
        except Away as error:
            log.warning("breaker.away", tool=tool.name, error=str(error))
            return None
        return datetime.fromtimestamp(since, UTC)

    def note(self, tool: Tool, *, failed: bool) -> None:
        """Tell how a call went. `failed`: it timed out, broke off, or may work another time."""
        if not failed and tool.source not in self._open:
            return
        try:
            self._fail(tool) if failed else self._close(tool)
        except Away as error:
            log.warning("breaker.away", tool=tool.name, error=str(error))

    def _fail(self, tool: Tool) -> None:
        now, key = time.time(), f"gatehouse:tool:{tool.source}:failures"
        with valkey().pipeline() as pipe:
            pipe.zadd(key, {uuid4().hex: now})
            pipe.zremrangebyscore(key, 0, now - WINDOW_SECONDS)
            pipe.expire(key, WINDOW_SECONDS)
            pipe.zcard(key)
            count = pipe.execute()[-1]
        if count < FAILURES and tool.source not in self._open:
            return
        with valkey().pipeline() as pipe:
            pipe.set(_resting(tool), "1", ex=REST_SECONDS)
            pipe.hsetnx(OPEN, tool.source, str(now))
            pipe.hget(OPEN, tool.source)
            since = pipe.execute()[-1]
        self._open = {**self._open, tool.source: float(since)}
        log.warning("breaker.opened", tool=tool.name, failures=count)

    def _close(self, tool: Tool) -> None:
        with valkey().pipeline() as pipe:
            pipe.hdel(OPEN, tool.source)
            pipe.delete(_resting(tool), f"gatehouse:tool:{tool.source}:failures")
            pipe.execute()
        self._open = {source: since for source, since in self._open.items() if source != tool.source}
        log.info("breaker.closed", tool=tool.name)

    def _look(self) -> None:
        """Learn now and then what others found; whoever comes meanwhile goes by what was known."""
        if time.monotonic() < self._look_at or not self._looking.acquire(blocking=False):
            return
        try:
            self._look_at = time.monotonic() + LOOK_EVERY
            self._open = {str(source): float(since) for source, since in valkey().hgetall(OPEN).items()}
        except Away as error:
            self._open = {}
            log.warning("breaker.away", error=str(error))
        finally:
            self._looking.release()


def _resting(tool: Tool) -> str:
    return f"gatehouse:tool:{tool.source}:resting"


breakers = Breakers()
