"""A tool's code may hang, leave or raise: whoever calls it goes on."""

import sys
import threading

import pytest

from agents.tools.calling import Exited, within


@pytest.mark.req("TOOL-1")
def test_what_takes_too_long_is_left_alone() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError, match=r"slow did not answer within 0\.01 s"):
        within(0.01, release.wait, name="slow")
    release.set()


@pytest.mark.req("TOOL-3")
def test_what_tries_to_end_the_process_does_not() -> None:
    with pytest.raises(Exited):
        within(5, lambda: sys.exit(3), name="rude")


def test_what_is_returned_or_raised_comes_through() -> None:
    assert within(5, lambda: None, name="none") is None
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0, name="broken")
