"""The HTTP connections that a provider's SDK uses."""

from urllib.parse import quote

import httpx2

from agents.providers.base import ModelRequest
from agents.providers.patience import bound

# Every thread of a worker may wait for a model at the same time.
LIMITS = httpx2.Limits(max_connections=256, max_keepalive_connections=256)
CONNECT_SECONDS = 10.0


def http_client(base_url: str) -> httpx2.Client:
    """A client that many threads share; the machine's own addresses are reached without a proxy."""
    loopback = httpx2.URL(base_url).host in {"127.0.0.1", "::1", "localhost"}
    return bound(httpx2.Client(limits=LIMITS, trust_env=not loopback, follow_redirects=False))


def timeout(seconds: float) -> httpx2.Timeout:
    """How long each wait of one call may last; `patience` bounds the call as a whole."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


def metadata_headers(request: ModelRequest) -> dict[str, str]:
    """The request's metadata as headers, which only the simulator is sent."""
    return {f"X-Gatehouse-{name}": quote(value) for name, value in request.metadata.items()}
