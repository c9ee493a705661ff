"""What another contender's process is: it does the same work, told by lines of JSON on its standard input.

Its interpreter may lack everything that Gatehouse needs: standard library alone.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tests.bench.work import clock


class Contender(Protocol):
    """How runs are carried on. `acted` has the time of each approved call's first line (s, `work.clock`)."""

    acted: dict[str, float]

    async def open(self, dsn: str, *, first: bool) -> None:
        """Connect; the `first` process of several makes the tables."""

    async def start(self, run: str, seconds: float) -> None:
        """Carry a new run to its wait; each model call takes `seconds`."""

    async def decide(self, run: str, seconds: float) -> None:
        """Approve what the run asks, and carry it to its end."""


def serve(contender: Contender) -> None:
    """Do what the lines say until they end: `{"do": "start" or "decide", "runs": [...], "seconds": 0.5}`.

    Each answer has, by run, when it was begun and when it was done, and after a decision when its call acted.
    """
    dsn, first = sys.argv[1], sys.argv[2] == "first"
    asyncio.run(_serve(contender, dsn, first=first))


async def _serve(contender: Contender, dsn: str, *, first: bool) -> None:
    await contender.open(dsn, first=first)
    _answer({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        act = contender.start if order["do"] == "start" else contender.decide
        times = await asyncio.gather(*(_timed(act, run, order["seconds"]) for run in order["runs"]))
        acted = {run: contender.acted.pop(run) for run in order["runs"] if run in contender.acted}
        _answer({"times": dict(zip(order["runs"], times, strict=True)), "acted": acted})


async def _timed(
    act: Callable[[str, float], Awaitable[None]], run: str, seconds: float
) -> tuple[float, float]:
    begun = clock()
    await act(run, seconds)
    return begun, clock()


def _answer(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()
