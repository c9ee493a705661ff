"""The work that every contender does: five turns of a model, four calls of a tool, the fourth only once it is approved.

Standard library alone, since the interpreters of other contenders import it, too.
"""

import time
from typing import Any

TURNS = 5
CALLS = 4
GATED = 4  # the call that waits for a decision
MODEL_SECONDS = 0.5  # of a call of the slow model
IDEAL_SECONDS = TURNS * MODEL_SECONDS  # of a run with the slow model that never waits for anything else

_REMARK = "The open orders were read one after the other, and what is still missing was noted for the desk. "
_TURNS = ("first", "second", "third", "fourth", "last")


def say(turn: int) -> str:
    """What the model says in its turn, from 1: about 300 bytes, and no figure or name that could look made up."""
    return f"This is the {_TURNS[turn - 1]} turn. {_REMARK * 3}"[:300]


def result(number: int) -> dict[str, Any]:
    """What the tool answers to its call `number`: about 200 bytes."""
    return {"number": number, "said": (_REMARK * 2)[:180]}


def clock() -> float:
    """Seconds on a clock that all processes of this machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)
