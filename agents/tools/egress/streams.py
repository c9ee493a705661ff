"""Reading a reply no further than its limit."""

from collections.abc import AsyncIterator, Iterator

import httpx2

from agents.tools.results import ToolFailure

MAX_BYTES = 5_000_000


class Unread(ToolFailure):
    """A reply came, and its body was not read: it is too long, or compressed."""


class Capped(httpx2.SyncByteStream):
    """The body of `response`, up to `limit` bytes."""

    def __init__(self, response: httpx2.Response, limit: int) -> None:
        self._response, self._meter = response, _Meter(response, limit)
        self._inner = response.stream

    def __iter__(self) -> Iterator[bytes]:
        self._meter.start()
        assert isinstance(self._inner, httpx2.SyncByteStream)
        for chunk in self._inner:
            self._meter.count(chunk)
            yield chunk

    def close(self) -> None:
        assert isinstance(self._inner, httpx2.SyncByteStream)
        self._inner.close()


class AsyncCapped(httpx2.AsyncByteStream):
    """The same for an async client; without `limit` a stream may last as long as its reader likes."""

    def __init__(self, response: httpx2.Response, limit: int | None) -> None:
        self._response, self._meter = response, _Meter(response, limit)
        self._inner = response.stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self._meter.start()
        assert isinstance(self._inner, httpx2.AsyncByteStream)
        async for chunk in self._inner:
            self._meter.count(chunk)
            yield chunk

    async def aclose(self) -> None:
        assert isinstance(self._inner, httpx2.AsyncByteStream)
        await self._inner.aclose()


class _Meter:
    def __init__(self, response: httpx2.Response, limit: int | None) -> None:
        self._encoding = response.headers.get("content-encoding", "identity").strip().lower()
        self._limit, self._seen = limit, 0

    def start(self) -> None:
        if self._encoding not in ("", "identity"):
            # A few bytes could become gigabytes; and it was asked for none.
            raise Unread(f"The reply is compressed ({self._encoding[:40]}), which was not asked for.")

    def count(self, chunk: bytes) -> None:
        self._seen += len(chunk)
        if self._limit is not None and self._seen > self._limit:
            raise Unread(f"The reply is longer than {self._limit:,} bytes, so it was not read.")
