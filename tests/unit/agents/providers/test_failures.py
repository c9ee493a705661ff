"""What failures say, and what they never say."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from agents.providers.base import RETRYABLE, FailureKind, ModelFailure
from agents.providers.failures import MESSAGE_MAX, kind_of_status, redacted, retry_after

pytestmark = pytest.mark.req("MOD-3")
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": format_datetime(NOW.replace(second=30), usegmt=True)}, 30.0),
        ({"retry-after": format_datetime(NOW.replace(hour=11), usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1.2.3"}, None),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW.timestamp()) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, FailureKind.RATE_LIMIT),
        (500, FailureKind.OVERLOADED),
        (502, FailureKind.OVERLOADED),
        (503, FailureKind.OVERLOADED),
        (529, FailureKind.OVERLOADED),
        (408, FailureKind.TIMEOUT),
        (504, FailureKind.TIMEOUT),
        (401, FailureKind.AUTHENTICATION),
        (403, FailureKind.AUTHENTICATION),
        (400, FailureKind.INVALID_REQUEST),
        (404, FailureKind.INVALID_REQUEST),
        (413, FailureKind.INVALID_REQUEST),
        (302, FailureKind.INVALID_REQUEST),
    ],
)
def test_a_status_has_one_meaning(status: int, kind: FailureKind) -> None:
    assert kind_of_status(status) is kind


def test_messages_hold_no_key() -> None:
    text = redacted("Bad key my.own.key or sk-ab****wxyz\n given", "my.own.key")
    assert text == "Bad key [key] or [key] given"
    assert len(redacted("x" * 5000, "")) == MESSAGE_MAX


@pytest.mark.parametrize("kind", FailureKind)
def test_only_what_may_pass_by_itself_is_retried(kind: FailureKind) -> None:
    assert ModelFailure(kind, "no").retryable is (kind in RETRYABLE)
    assert (kind in RETRYABLE) is (kind not in (FailureKind.INVALID_REQUEST, FailureKind.AUTHENTICATION))
