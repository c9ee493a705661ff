"""What an HTTP reply says, as a tool's result: data, or one of the typed failures."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2

from agents.tools.results import NotFound, ToolFailure, UnknownOutcome

MESSAGE_CHARS = 1000
TOLD_HEADERS = ("content-type", "content-length", "last-modified", "etag")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that came whole, or whose body was left unread for a reason."""

    method: str
    place: str  # whose it is, for messages
    status: int
    headers: httpx2.Headers
    body: bytes
    unread: str = ""  # why there is no body


def data_of(reply: Reply, *, reads: bool) -> Any:
    """The data of a success. Raises ToolFailure where nothing was changed, UnknownOutcome where nobody knows.

    `reads`: the request is a read, of which it doesn't matter whether it happened.
    """
    status = reply.status
    if 200 <= status < 300:
        return _data(reply, reads=reads)
    told = f"{reply.place} answered {_named(status)}{_colon(_words(reply))}"
    if status in (404, 410):
        raise NotFound(_words(reply) or told)
    if status in (401, 403):
        raise ToolFailure(f"{told} It does not accept the credential of this tool, or not for this.")
    if status in (408, 425, 429) or (status == 503 and "retry-after" in reply.headers):
        raise ToolFailure(f"{told}{_after(reply)}", retryable=True)
    if 300 <= status < 400:
        _raise_moved(reply, told, reads=reads)
    if status >= 500 and status not in (501, 505):
        if reads:
            raise ToolFailure(told, retryable=True)
        raise UnknownOutcome(f"{told} It may have happened.")
    raise ToolFailure(told)


def _data(reply: Reply, *, reads: bool) -> Any:
    if reply.method == "HEAD":
        told = {name: reply.headers[name] for name in TOLD_HEADERS if name in reply.headers}
        return {"status": reply.status, "headers": told}
    if reply.unread:
        if reads:
            raise ToolFailure(reply.unread)
        return {"status": reply.status, "note": reply.unread}
    if not reply.body:
        return {"status": reply.status}
    kind, _, _ = reply.headers.get("content-type", "").partition(";")
    text = _text(reply)
    if text is None:
        return {"content_type": kind.strip() or "unknown", "bytes": len(reply.body)}
    if "json" in kind or not kind:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _text(reply: Reply) -> str | None:
    """The body as text; None where it is none."""
    try:
        text = reply.body.decode(_charset(reply))
    except (LookupError, UnicodeDecodeError):
        return None
    return None if "\x00" in text else text


def _charset(reply: Reply) -> str:
    _, _, parameters = reply.headers.get("content-type", "").partition("charset=")
    return parameters.split(";")[0].strip(' "') or "utf-8"


def _raise_moved(reply: Reply, told: str, *, reads: bool) -> None:
    told = f"{told} It leads to {reply.headers.get('location', 'nowhere')[:200]}."
    if reads or reply.status in (304, 307, 308):
        raise ToolFailure(told)  # whoever answers so has not done what was asked
    raise UnknownOutcome(f"{told} It may have happened.")


def _words(reply: Reply) -> str:
    """What the reply says for people, in one line; empty where that is nothing."""
    text = _text(reply) or ""
    try:
        found = _message(json.loads(text))
    except (ValueError, RecursionError):
        found = "" if "html" in reply.headers.get("content-type", "") else text
    return " ".join(found.split())[:MESSAGE_CHARS]


def _message(data: Any) -> str:
    if isinstance(data, dict):
        # RFC 9457, RFC 6749, and what is usual.
        for key in ("detail", "message", "error_description", "error", "errors", "title"):
            if found := _message(data.get(key)):
                return found
        return json.dumps(data, ensure_ascii=False) if data else ""
    if isinstance(data, list):
        return "; ".join(filter(None, map(_message, data[:10])))
    return str(data) if isinstance(data, str) else ""


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _colon(words: str) -> str:
    return f": {words}" + ("" if words.endswith((".", "!", "?")) else ".") if words else "."


def _after(reply: Reply) -> str:
    after = reply.headers.get("retry-after", "")
    return f" It asks to wait {after} s." if after.isdigit() and len(after) < 9 else ""
