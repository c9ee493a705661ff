"""Logs: a line each, without secrets. A traceback never shows the values of variables: a token may be among them.

Nor does it show what a database or a validation says of an error: they quote the values that they were given.
"""

import logging
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any

import psycopg
import pydantic
import structlog
from django.db import utils

from traces.redaction import redact_text

QUOTING = (utils.Error, psycopg.Error, pydantic.ValidationError)
AWAY = (  # these say that no database answers, and quote nothing
    *(utils.OperationalError, utils.InterfaceError),
    *(psycopg.OperationalError, psycopg.InterfaceError),
)
SHORT = 8  # characters; a shorter line of an error says nothing


def configure() -> None:
    """Set up structlog, and what the standard library logs, for this process."""
    # They tell each request with its whole address, in which a tool's key may stand.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.setLogRecordFactory(_Record)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.ExceptionRenderer(lambda info: in_full(info[1]) if info[1] else ""),
            _without_secrets,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        cache_logger_on_first_use=True,
    )


def in_full(error: BaseException) -> str:
    """Where it was raised and what led to it, as Python shows it, without what it quotes."""
    text = "".join(traceback.format_exception(error)).rstrip()
    return redact_text(_unquoted(text, error))


class _Record(logging.LogRecord):
    """Of any library: with the traceback written already, and no words of an error that quotes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        error = self.exc_info[1] if self.exc_info else None
        if error is not None:
            self.exc_text = in_full(error)
            self.msg, self.args = redact_text(_unquoted(self.getMessage(), error)), None


def _unquoted(text: str, error: BaseException) -> str:
    for each in _chain(error, set()):
        if not isinstance(each, QUOTING) or isinstance(each, AWAY):
            continue
        told = f"(what it says is left out{_state(each)})"
        for words in (repr(each), str(each), *str(each).splitlines()):  # in a group, lines are indented
            if len(words) > SHORT:
                text = text.replace(words, told)
    return text


def _state(error: BaseException) -> str:
    """The SQLSTATE, by which an error of the database can be looked up."""
    code = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    return f": {code}" if code else ""


def _chain(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    """The error, and what led to it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    yield error
    grouped = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (error.__cause__, error.__context__, *grouped):
        if other is not None:
            yield from _chain(other, seen)


def _without_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _harmless(value) for key, value in event.items()}


def _harmless(value: Any) -> Any:
    if isinstance(value, BaseException):
        value = _unquoted(str(value), value) or type(value).__name__
    return redact_text(value) if isinstance(value, str) else value
