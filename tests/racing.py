"""Things that happen at once, on threads and database connections of their own."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import connection

PATIENCE = 600  # s: twenty threads on a busy machine take their time, and a test has a limit of its own


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act returned, or the exception that it raised, in their order; all begin at the same moment."""
    gate = threading.Barrier(len(acts))

    def begin(act: Callable[[], Any]) -> Any:
        gate.wait(PATIENCE)
        return act()

    races = [Race(partial(begin, act)) for act in acts]
    return [race.outcome() for race in races]


class Race:
    """An act on a thread of its own."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._act = act
        self._outcome: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def outcome(self) -> Any:
        """What the act returned, or the exception that it raised."""
        self._thread.join(PATIENCE)
        assert self.is_over, "It hangs."
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = self._act()
        except BaseException as error:
            self._outcome = error
        finally:
            connection.close()
