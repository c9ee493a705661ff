"""A file to which workers append what they did: it outlives any of them, and its lines are whole.

One `write` of less than a page to a descriptor opened with O_APPEND can't be torn or lost by a kill.
"""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.bench.work import clock

PATH = "GATEHOUSE_BENCH_LEDGER"


class Entry(NamedTuple):
    """One line: `kind` is `note` or `act`, or `ready` for a worker that has started."""

    kind: str
    run: str
    number: int
    key: str  # the call's idempotency key
    at: float  # s, `work.clock`
    pid: int


def enter(kind: str, *, run: str = "-", number: int = 0, key: str = "-") -> None:
    """Append a line to the ledger of this process."""
    os.write(_descriptor(), f"{kind} {run} {number} {key} {clock()!r} {os.getpid()}\n".encode())


@cache
def _descriptor() -> int:
    return os.open(os.environ[PATH], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class Ledger:
    """The reader's side; it remembers every line."""

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._file = path.open()
        self.entries: list[Entry] = []

    def read(self) -> list[Entry]:
        """All lines so far."""
        for line in self._file:
            kind, run, number, key, at, pid = line.split()
            self.entries.append(Entry(kind, run, int(number), key, float(at), int(pid)))
        return self.entries

    def acts(self, runs: Iterable[str]) -> dict[str, float]:
        """When the approved call of each of these runs began to execute, where it did."""
        wanted = set(runs)
        return {entry.run: entry.at for entry in self.read() if entry.kind == "act" and entry.run in wanted}

    def ready(self) -> dict[int, float]:
        """When each worker was ready, by its process id."""
        return {entry.pid: entry.at for entry in self.read() if entry.kind == "ready"}

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
