"""How long one call of a model may take: over all, and without a piece of its answer."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpcore2
import httpx2


class Patience:
    """The time that a call has left, from its start.

    `timeout` bounds the call as a whole. Where its answer is streamed, `stall` bounds the wait for each piece,
    the first included; what a server sends to keep the connection open is no piece.
    """

    def __init__(self, *, timeout: float, stall: float | None) -> None:
        self._timeout, self._stall = timeout, stall
        self._heard_at = time.monotonic()
        self._ends_at = self._heard_at + timeout

    def hear(self) -> None:
        """A piece of the answer came."""
        self._heard_at = time.monotonic()

    def left(self) -> float:
        """Seconds until it must be given up, if nothing comes; below zero once that is past."""
        now = time.monotonic()
        silence = self._ends_at if self._stall is None else self._heard_at + self._stall
        return min(self._ends_at, silence) - now

    def __str__(self) -> str:
        """What was not kept, once it ended."""
        if self._stall is None or time.monotonic() >= self._ends_at:
            return f"gave no whole answer within {self._timeout:g} s"
        return f"fell silent for {self._stall:g} s"


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patient(*, timeout: float, stall: float | None = None) -> Iterator[Patience]:
    """Bound all that this thread reads and writes within the block, through a client of `bound`."""
    patience = Patience(timeout=timeout, stall=stall)
    token = _current.set(patience)
    try:
        yield patience
    finally:
        _current.reset(token)


def bound(client: httpx2.Client) -> httpx2.Client:
    """Have the connections of `client` keep to the patience of the call that uses them.

    The client's own timeouts start anew with every byte, so that a server which sends one now and then could hold
    a worker for ever.
    """
    # Neither library has a public way to the sockets of a client that also finds its proxies by itself.
    transports: list[Any] = [client._transport, *client._mounts.values()]
    for transport in transports:
        if transport is not None:
            transport._pool._network_backend = PatientBackend()
    return client


class PatientBackend(httpcore2.SyncBackend):
    """Makes connections on which no wait is longer than the call has left."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        left = _left(timeout)
        return _Stream(super().connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore2.NetworkStream):
    """A connection on which no wait is longer than the call has left."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout=_left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=_left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout=_left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(timeout: float | None) -> float | None:
    patience = _current.get()
    if patience is None:
        return timeout
    left = patience.left()
    if left <= 0:
        raise httpcore2.ReadTimeout(str(patience))
    return left if timeout is None else min(timeout, left)
