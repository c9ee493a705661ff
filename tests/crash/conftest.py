"""Processes that are killed, and what they leave."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from agents.runtime import recovery
from tests.crash import worker
from tests.crash.fate import Fate, Point
from tests.waiting import until

SWEEP_SECONDS = 0.2

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["pytest", "tests.crash.worker"])


class Crew:
    """The processes of one test. Those with a fate hold runs by a short lease, so that nobody waits for the dead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[ForkServerProcess] = []

    def start(self, target: Callable[..., None], *values: Any) -> ForkServerProcess:
        process = _forks.Process(target=target, args=(self.folder, *values), daemon=True)
        process.start()
        self.processes.append(process)
        return process

    def hire(self, *, lease_seconds: float = 15, latency: float = 0) -> ForkServerProcess:
        """An ordinary worker."""
        return self.start(worker.work, None, lease_seconds, latency)

    def doom(self, point: Point, nth: int = 1) -> Fate:
        """What will kill the process that it is given to."""
        return Fate(point, self.folder / f"died {point}", nth)

    def bury(self, process: ForkServerProcess, fate: Fate) -> None:
        """Wait until the process has killed itself at its point."""
        process.join(30)
        assert process.exitcode == -SIGKILL, f"{process.exitcode}: {(self.folder / 'log').read_text()}"
        assert fate.mark.read_text() == str(fate.point)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def crew(tmp_path: Path, db: None) -> Iterator[Crew]:
    """Nobody at first, and an empty queue."""
    redis.Redis.from_url(settings.VALKEY_URL).flushall()
    crew = Crew(tmp_path)
    yield crew
    crew.kill()


def sweep_until(condition: Callable[[], Any], what: str, *, seconds: float = 30) -> Any:
    """Wait, sweeping as the clock does, only oftener."""
    due = time.monotonic()

    def look() -> Any:
        nonlocal due
        if time.monotonic() >= due:
            recovery.sweep(now=timezone.now())
            due = time.monotonic() + SWEEP_SECONDS
        return condition()

    return until(look, what, seconds=seconds)
