"""The figures of one person's decisions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.fatigue import AT_MOST, TO_BEGIN, Said, figures_of, reading_seconds

pytestmark = pytest.mark.req("TRC-6")

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def said(seconds: float | None, *, approve: bool | None = True, chars: int = 400, at: float = 0) -> Said:
    moment = NOW + timedelta(seconds=at)
    shown = None if seconds is None else moment - timedelta(seconds=seconds)
    return Said("ana", approve, moment, shown, chars)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_text_never_takes_less_time_and_none_takes_for_ever(one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert TO_BEGIN <= reading_seconds(short) <= reading_seconds(long) <= AT_MOST


def test_time_counts_from_when_it_was_shown_and_what_was_not_shown_is_not_measured() -> None:
    # 400 characters take 12 s to read.
    words = [said(3), said(11.9, approve=False), said(12), said(60), said(None), said(-5)]
    figures = figures_of("ana", words)
    assert (figures.said, figures.measured, figures.too_fast) == (6, 4, 2)
    assert figures.median_seconds == pytest.approx(11.95)
    assert figures.fast_share == 0.5
    assert figures.approved == pytest.approx(5 / 6)


def test_an_answer_is_load_but_neither_yes_nor_no() -> None:
    figures = figures_of("ana", [said(30, approve=None), said(30, approve=False)])
    assert (figures.said, figures.approved) == (2, 0.0)
    assert figures_of("ana", [said(30, approve=None)]).approved is None
    empty = figures_of("ana", [])
    assert (empty.said, empty.median_seconds, empty.fast_share, empty.busiest_hour) == (0, None, None, 0)


def test_the_busiest_hour_is_by_the_clock() -> None:
    words = [said(9, at=60 * minute) for minute in (0, 10, 59, 60, 70, 190)]
    assert figures_of("ana", words).busiest_hour == 3
