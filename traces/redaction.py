"""Secrets out, and values that Postgres can't hold made harmless, before anything is stored in a trace."""

import re
from functools import cache
from typing import Any

from django.conf import settings
from pydantic_core import PydanticSerializationError, to_json

from traces.storable import storable

REDACTED = "[redacted]"

_SECRET_NAMES = re.compile(
    r"(password|passwd|secret|api[_-]?key|authorization|access[_-]?token|refresh[_-]?token|private[_-]?key)$",
    re.IGNORECASE,
)
_SECRET_VALUES = re.compile(
    r"(sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|gth_[A-Za-z0-9_-]{20,}"
    # At most to the next beginning: looking for the end of each in all the rest takes the square of the time.
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-(?!----BEGIN )[^-]*)*?"
    r"(?:-----END [A-Z ]*PRIVATE KEY-----|(?=-----BEGIN ))"
    r"|(?<=Bearer )[A-Za-z0-9._~+/-]{16,})"
)


# One of these is in every text that the patterns above match, and in every one that Postgres can't hold as it is.
_SIGNS = (
    *("sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "akia", "xox", "gth_", "bearer ", "authorization"),
    *("passw", "secret", "private", "api_key", "api-key", "apikey", "sstoken", "ss_token", "ss-token"),
    *("shtoken", "sh_token", "sh-token", "\\u0000"),
)


def redact(value: Any) -> Any:
    """`value` (JSON) without secrets: by the name of the field, and by the shape of the value."""
    return value if _is_harmless(value) else _redacted(value)


def _is_harmless(value: Any) -> bool:
    """Whether nothing in it can be a secret, seen at one glance: what is traced mostly is harmless, and much."""
    try:
        text = to_json(value, inf_nan_mode="constants").decode()
    except (PydanticSerializationError, UnicodeError):
        return False
    lowered = text.lower()
    # A plain loop takes half the time of any(...), and this is asked of all that is written.
    for sign in _SIGNS:
        if sign in lowered:
            return False
    return "NaN" not in text and "Infinity" not in text and not any(word in text for word in _own_secrets())


def _redacted(value: Any) -> Any:
    match value:
        case dict():
            return {
                redact_text(str(key)): REDACTED
                if isinstance(item, str) and _SECRET_NAMES.search(str(key))
                else _redacted(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_redacted(item) for item in value]
        case str():
            return redact_text(value)
        case _:
            return storable(value)


def redact_text(text: str) -> str:
    """`text` without secrets: those of this installation, and what looks like one."""
    text = str(storable(text))
    for secret in _own_secrets():
        text = text.replace(secret, REDACTED)
    return _SECRET_VALUES.sub(REDACTED, text)


@cache
def _own_secrets() -> tuple[str, ...]:
    keys = [endpoint.get("api_key", "") for endpoint in settings.MODEL_ENDPOINTS.values()]
    return tuple(secret for secret in [settings.SECRET_KEY, *keys] if len(secret) >= 8)
