"""How far a call is, as its server tells, for whoever listens in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mcp.shared.dispatcher import ProgressFnT

Heard = Callable[[float, float | None, str], None]  # how much, of how much, and in words

TOLD_MAX = 1000  # times in one call; more are dropped
WORDS_MAX = 500

_listener: ContextVar[Heard | None] = ContextVar("listener", default=None)


@contextmanager
def listening(heard: Heard) -> Iterator[None]:
    """Have `heard` called with the progress of the calls that are made in this block.

    It is called in the thread of the sessions, so it must return at once.
    """
    token = _listener.set(heard)
    try:
        yield
    finally:
        _listener.reset(token)


def passed_on() -> ProgressFnT | None:
    """What to give to the SDK for the call that is made now; None where nobody listens."""
    heard = _listener.get()
    if heard is None:
        return None
    told = 0

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        nonlocal told
        told += 1
        if told <= TOLD_MAX:
            heard(progress, total, (message or "")[:WORDS_MAX])

    return tell
