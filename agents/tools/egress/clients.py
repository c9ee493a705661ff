"""HTTP clients whose every request, the first and each redirect, keeps to the egress rules.

A URL is checked before it is sent, and each address that its host leads to before it is connected to: to exactly that
address, with no second look-up in between. Host header and certificate stay those of the name.
"""

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import anyio.to_thread
import httpcore2
import httpx2

from agents.providers.patience import PatientBackend
from agents.tools.egress.rules import require, require_address
from agents.tools.egress.streams import MAX_BYTES, AsyncCapped, Capped
from agents.tools.results import ToolFailure

CONNECT_SECONDS = 10.0
MAX_REDIRECTS = 3
IDENTITY = {"Accept-Encoding": "identity"}
LIMITS = httpx2.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=5.0)
FRESH = httpx2.Limits(max_connections=256, max_keepalive_connections=0)

Resolver = Callable[[str, int], list[str]]  # the addresses of a host; raises OSError


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def client(
    *,
    keep_alive: bool = True,
    max_bytes: int = MAX_BYTES,
    timeout: float = 30.0,
    resolver: Resolver = resolve,
) -> httpx2.Client:
    """A client for many threads. It keeps no cookies, takes no proxy from the environment and follows no redirect.

    Its requests raise EgressRefused where a rule refuses them, and Unread for a body over `max_bytes`. A call as a
    whole is bounded by `agents.providers.patience.patient`. Without `keep_alive` every request has a connection of
    its own: one that was kept may turn out to be closed only after an effect was sent.
    """
    made = httpx2.Client(
        transport=_Transport(resolver, LIMITS if keep_alive else FRESH, max_bytes),
        timeout=_timeout(timeout),
        headers=IDENTITY,
        trust_env=False,
        follow_redirects=False,
    )
    made.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return made


def async_client(
    headers: Mapping[str, str] | None = None,
    timeout: httpx2.Timeout | None = None,
    auth: httpx2.Auth | None = None,
    *,
    max_bytes: int | None = None,
    resolver: Resolver = resolve,
) -> httpx2.AsyncClient:
    """The same for asyncio, as the MCP SDK asks for its clients. Without `max_bytes` a stream may last for ever."""
    made = httpx2.AsyncClient(
        transport=_AsyncTransport(resolver, max_bytes),
        timeout=timeout or httpx2.Timeout(30.0, connect=CONNECT_SECONDS, read=300.0),
        headers={**(headers or {}), **IDENTITY},
        auth=auth,
        trust_env=False,
        follow_redirects=False,
    )
    made.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return made


def send(sender: httpx2.Client, request: httpx2.Request) -> httpx2.Response:
    """The reply to a request, with its body yet to be read; close it.

    A GET or HEAD follows up to three redirects; to another scheme, host or port it takes nothing along but what it
    accepts. Whatever else is asked is never asked twice.
    """
    response = sender.send(request, stream=True)
    for _ in range(MAX_REDIRECTS):
        following = response.next_request
        if following is None or request.method not in ("GET", "HEAD"):
            return response
        response.close()
        kept = dict(request.headers) if _origin(following.url) == _origin(request.url) else {}
        headers = {"Accept": request.headers.get("Accept", "*/*"), **kept}
        headers.pop("host", None)
        request = sender.build_request(
            request.method, following.url, headers=headers, extensions=dict(request.extensions)
        )
        response = sender.send(request, stream=True)
    if response.next_request is not None:
        response.close()
        raise ToolFailure(
            f"{request.url.host} sends from one address to another more than {MAX_REDIRECTS} times."
        )
    return response


class _Transport(httpx2.BaseTransport):
    def __init__(self, resolver: Resolver, limits: httpx2.Limits, max_bytes: int) -> None:
        inner = httpx2.HTTPTransport(verify=_ssl_context(), trust_env=False, limits=limits)
        inner._pool._network_backend = _Backend(resolver)  # there is no public way to it
        self._inner, self._max_bytes = inner, max_bytes

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        require(request.url)
        response = self._inner.handle_request(request)
        response.stream = Capped(response, self._max_bytes)
        return response

    def close(self) -> None:
        self._inner.close()


class _AsyncTransport(httpx2.AsyncBaseTransport):
    def __init__(self, resolver: Resolver, max_bytes: int | None) -> None:
        inner = httpx2.AsyncHTTPTransport(verify=_ssl_context(), trust_env=False, limits=LIMITS)
        inner._pool._network_backend = _AsyncBackend(resolver)
        self._inner, self._max_bytes = inner, max_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        require(request.url)
        response = await self._inner.handle_async_request(request)
        response.stream = AsyncCapped(response, self._max_bytes)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Backend(PatientBackend):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        failed: Exception | None = None
        for address in _checked(self._resolver, host, port):
            try:
                return super().connect_tcp(address, port, *args, **kwargs)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError(f"{host} has no address")


class _AsyncBackend(httpcore2.AnyIOBackend):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def connect_tcp(
        self, host: str, port: int, *args: Any, **kwargs: Any
    ) -> httpcore2.AsyncNetworkStream:
        failed: Exception | None = None
        for address in await anyio.to_thread.run_sync(_checked, self._resolver, host, port):
            try:
                return await super().connect_tcp(address, port, *args, **kwargs)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError(f"{host} has no address")


def _checked(resolver: Resolver, host: str, port: int) -> Iterable[str]:
    """The addresses of a host, once all of them are found to be allowed."""
    try:
        addresses = resolver(host, port)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} has no address ({error})") from error
    for address in addresses:
        require_address(host, port, address)
    return addresses


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _timeout(seconds: float) -> httpx2.Timeout:
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()
