"""What went wrong in a provider's SDK, as a ModelFailure that an operator can read."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import Any

import httpx2

from agents.providers.base import FailureKind, ModelFailure
from agents.providers.patience import Patience

MESSAGE_MAX = 300
KEY_LIKE = re.compile(r"\b(?:sk|key|pk)-[\w*.-]{4,}")
# Errors that arrive inside a stream, after the status line said 200.
KINDS_BY_TYPE = {
    "overloaded_error": FailureKind.OVERLOADED,
    "api_error": FailureKind.OVERLOADED,
    "server_error": FailureKind.OVERLOADED,
    "rate_limit_error": FailureKind.RATE_LIMIT,
    "timeout_error": FailureKind.TIMEOUT,
    "invalid_request_error": FailureKind.INVALID_REQUEST,
    "authentication_error": FailureKind.AUTHENTICATION,
    "permission_error": FailureKind.AUTHENTICATION,
}


@contextmanager
def typed_failures(
    sdk: ModuleType, *, provider: str, endpoint: str, key: str, patience: Patience
) -> Iterator[None]:
    """Turn whatever `sdk` (`anthropic` or `openai`, which name their errors alike) raises into a ModelFailure.

    The message names the provider and the host of `endpoint`, and never holds `key`. The SDK's own error is
    left out of the traceback, since its text may quote the key.
    """
    host = httpx2.URL(endpoint).netloc.decode()
    try:
        yield
    except (sdk.APITimeoutError, httpx2.TimeoutException):
        raise ModelFailure(FailureKind.TIMEOUT, f"{provider} at {host} {patience}.") from None
    except sdk.APIResponseValidationError:
        raise ModelFailure(FailureKind.MALFORMED, f"{provider} at {host} broke its wire format.") from None
    except sdk.APIStatusError as error:
        raise _from_status(provider, error, key) from None
    except sdk.APIConnectionError as error:
        reason = type(error.__cause__ or error).__name__
        raise ModelFailure(
            FailureKind.CONNECTION, f"{provider} at {host} can't be reached, or hung up ({reason})."
        ) from None
    except httpx2.DecodingError:
        raise ModelFailure(
            FailureKind.MALFORMED, f"{provider} at {host} sent bytes that don't decode."
        ) from None
    except httpx2.TransportError as error:
        raise ModelFailure(
            FailureKind.CONNECTION, f"{provider} at {host} hung up in the middle ({type(error).__name__})."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ModelFailure(
            FailureKind.MALFORMED, f"{provider} at {host} sent a body that is not JSON."
        ) from None
    except sdk.APIError as error:
        kind = KINDS_BY_TYPE.get(str(error.type), FailureKind.MALFORMED)
        raise ModelFailure(
            kind, f"{provider} broke off its answer: {redacted(str(error.message), key)}"
        ) from None


def redacted(text: str, key: str) -> str:
    """`text` on one short line, without `key` or anything that looks like a key."""
    if key:
        text = text.replace(key, "[key]")
    line = " ".join(KEY_LIKE.sub("[key]", text).split())
    return line if len(line) <= MESSAGE_MAX else line[: MESSAGE_MAX - 1] + "…"


def kind_of_status(status: int) -> FailureKind:
    """What an HTTP status of 300 or more means for the run."""
    if status == 429:
        return FailureKind.RATE_LIMIT
    if status in (401, 403):
        return FailureKind.AUTHENTICATION
    if status in (408, 504):
        return FailureKind.TIMEOUT
    return FailureKind.OVERLOADED if status >= 500 else FailureKind.INVALID_REQUEST


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds to wait, from `Retry-After` (seconds or a date) or `retry-after-ms`; None where it says nothing."""
    milliseconds, written = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            seconds = float(milliseconds) / 1000
        elif written is not None and re.fullmatch(r"\s*-?[\d.]+\s*", written):
            seconds = float(written)
        elif written is not None:
            seconds = parsedate_to_datetime(written).timestamp() - now
        else:
            return None
    except ValueError:
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _from_status(provider: str, error: Any, key: str) -> ModelFailure:
    status: int = error.status_code
    detail = error.body.get("error", error.body) if isinstance(error.body, Mapping) else None
    said = detail.get("message") if isinstance(detail, Mapping) else None
    if status < 300:
        kind = KINDS_BY_TYPE.get(str(error.type), FailureKind.MALFORMED)
        what = f"{provider} broke off its answer"
    else:
        kind = kind_of_status(status)
        what = f"{provider} answered {status}"
    return ModelFailure(
        kind,
        f"{what}: {redacted(said, key)}" if isinstance(said, str) and said else f"{what} without a reason.",
        retry_after=retry_after(error.response.headers, now=time.time()),
        status=status if status >= 300 else None,
    )
