"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, *, seconds: float = 30) -> T:
    """What `condition` returns, as soon as that is true. Fails where that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"Not within {seconds:g} s: {what}."
        time.sleep(0.02)
    return found
