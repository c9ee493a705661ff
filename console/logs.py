"""Logs: a line each, without secrets. A traceback never shows the values of variables: a token may be among them."""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

from traces.redaction import redact_text


def configure() -> None:
    """Set structlog up for this process."""
    # They tell each request with its whole address, in which a tool's key may stand.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        cache_logger_on_first_use=True,
    )


def _without_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: redact_text(value) if isinstance(value, str) else value for key, value in event.items()}
