"""One HTTP request of a tool: sent with its credentials and key, told as a typed result without them."""

import atexit
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
from django.db import connection

from agents import credentials
from agents.config.tools import CredentialRef, Value
from agents.credentials import Secret
from agents.exceptions import BadConfig
from agents.providers.patience import patient
from agents.tools import egress
from agents.tools.replies import Reply, data_of
from agents.tools.results import ToolFailure, UnknownOutcome
from agents.tools.spec import Effect, ToolContext

IDEMPOTENCY_KEY = "Idempotency-Key"
# What the connection itself needs, and what would speak for somebody else.
OWN_HEADERS = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "idempotency-key",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)

_TOKEN = re.compile(r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as the arguments make it; the credentials are still to come."""

    method: str
    url: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Access:
    """What goes along with each request of a tool."""

    headers: Mapping[str, Value]
    credential: str
    timeout: float  # s, of the call as a whole

    def require(self) -> None:
        """Raise BadConfig for a header that can't be set, and for a credential that there is none of."""
        for name, value in self.headers.items():
            if name.lower() in OWN_HEADERS:
                raise BadConfig(f"headers: {name} is set by Gatehouse itself: leave it out.")
            try:
                _as_header(name, "" if isinstance(value, CredentialRef) else value)
            except ValueError as error:
                raise BadConfig(f"headers: {error}") from error
            if isinstance(value, CredentialRef):
                credentials.require(value.credential)
        credentials.require(self.credential)


def exchange(outgoing: Outgoing, access: Access, *, context: ToolContext, effect: Effect) -> Any:
    """Send it; the reply's data. Raises ToolFailure and UnknownOutcome, in which no secret stands."""
    secrets: list[Secret] = []
    reads = effect is Effect.READ
    try:
        reply = _send(outgoing, access, context, secrets, reads=reads)
        return credentials.mask(data_of(reply, reads=reads), secrets)
    except ToolFailure as failure:
        message = str(credentials.mask(str(failure), secrets))
        raise type(failure)(message, retryable=failure.retryable) from None
    except UnknownOutcome as unknown:
        raise UnknownOutcome(str(credentials.mask(str(unknown), secrets))) from None


def segment(name: str, value: Any) -> str:
    """An argument as a part of a path that it can't leave. Raises ToolFailure for one that names no thing."""
    text = as_text(value)
    if not text or any(part in (".", "..") for part in text.replace("\\", "/").split("/")):
        raise ToolFailure(f"{name}: {text!r} can't stand in an address.")
    return quote(text, safe="")


def as_text(value: Any) -> str:
    """An argument as it stands in a path, a query or a header."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_query(name: str, value: Any) -> Iterable[tuple[str, str]]:
    """An argument as query parameters: a list is repeated, and what is null is left out."""
    for item in value if isinstance(value, list) else [value]:
        if item is not None:
            yield name, as_text(item)


def as_json(value: Any) -> bytes:
    """An argument as a body."""
    return json.dumps(value, ensure_ascii=False).encode()


def in_words(tool: str, outgoing: Outgoing) -> str:
    """The request, for the person who decides on it."""
    url = httpx2.URL(outgoing.url)
    return f"{tool}: {outgoing.method} {url.raw_path.decode('ascii')} at {url.host}"


def _send(
    outgoing: Outgoing, access: Access, context: ToolContext, secrets: list[Secret], *, reads: bool
) -> Reply:
    place = egress.require(outgoing.url)
    headers, query = _with_credentials(outgoing, access, place.host, secrets)
    if outgoing.content is not None:
        headers["Content-Type"] = outgoing.content_type
    if outgoing.method not in ("GET", "HEAD"):
        headers[IDEMPOTENCY_KEY] = context.idempotency_key
    if not connection.in_atomic_block:
        connection.close()  # this waits for the world
    began: list[str] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            began.append(event)

    timeout = max(access.timeout - 0.5, access.timeout * 0.9)  # before the thread is given up: it knows more
    client = _client(keep_alive=reads and outgoing.method in ("GET", "HEAD"))
    try:
        request = client.build_request(
            outgoing.method,
            outgoing.url + _query_string(outgoing.url, query),
            headers=headers,
            content=outgoing.content,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, egress.CONNECT_SECONDS)),
            extensions={"trace": trace},
        )
        with patient(timeout=timeout):
            response = egress.send(client, request) if reads else client.send(request, stream=True)
            try:
                body, unread = b"".join(response.iter_raw()), ""
            except egress.Unread as error:
                body, unread = b"", str(error)
            finally:
                response.close()
    except ToolFailure:
        raise
    except httpx2.LocalProtocolError as error:
        raise ToolFailure(f"The request to {place} can't be sent: {error}.") from error
    except Exception as error:
        if began:
            raise UnknownOutcome(
                f"The request to {place} was sent, and no whole reply came ({_told(error)})."
            ) from error
        retryable = isinstance(error, httpx2.TransportError)
        raise ToolFailure(f"{place} can't be reached ({_told(error)}).", retryable=retryable) from error
    return Reply(outgoing.method, str(place), response.status_code, response.headers, body, unread)


def _with_credentials(
    outgoing: Outgoing, access: Access, host: str, secrets: list[Secret]
) -> tuple[httpx2.Headers, dict[str, list[str]]]:
    headers = httpx2.Headers({"Accept": "application/json, */*;q=0.5", "User-Agent": "Gatehouse"})
    query: dict[str, list[str]] = {}
    for name, text in outgoing.query:
        query.setdefault(name, []).append(text)
    for name, value in {**outgoing.headers, **access.headers}.items():
        if isinstance(value, CredentialRef):
            secrets.append(credentials.reveal(value.credential, host=host))
            _put(headers, name, secrets[-1].value)
        else:
            _put(headers, name, value)
    if access.credential:
        secret = credentials.reveal(access.credential, host=host)
        secrets.append(secret)
        for name, value in secret.headers().items():
            _put(headers, name, value)
        query |= {name: [value] for name, value in secret.query().items()}
    return headers, query


def _put(headers: httpx2.Headers, name: str, value: str) -> None:
    try:
        headers[name] = _as_header(name, value)
    except ValueError as error:
        raise ToolFailure(str(error)) from error


def _as_header(name: str, value: str) -> str:
    value = value.strip()
    if not (_TOKEN.match(name) and value.isascii() and value.isprintable()):
        raise ValueError(f"{name}: a header takes printable ASCII only.")
    return value


def _query_string(url: str, query: Mapping[str, list[str]]) -> str:
    if not query:
        return ""
    return ("&" if "?" in url else "?") + urlencode(query, doseq=True)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": .")


@cache
def _client(*, keep_alive: bool) -> httpx2.Client:
    client = egress.client(keep_alive=keep_alive)
    atexit.register(client.close)
    return client
