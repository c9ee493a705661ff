"""Keeps a set of child processes running: starts what died again, and stops all of them in order."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_PAUSE = 30.0
# A child that ran this long was sound: its next end is a new trouble, not the old one again.
SOUND_AFTER = 60.0
LONGEST_LOG = 20 * 1024 * 1024


@dataclass
class Child:
    """One process to keep running.

    `start` starts it; `stop_by` is the signal that ends it in order; after `patience` seconds it is killed. Children of a
    higher `stage` are stopped first.
    """

    name: str
    log: Path
    start: Callable[[], subprocess.Popen[bytes]]
    stage: int
    stop_by: signal.Signals = signal.SIGTERM
    patience: float = 5.0
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    due_at: float | None = None


@dataclass
class Supervisor:
    """The children of one `up`, all on this host. Times are of the monotonic clock, in seconds."""

    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)

    def adopt(self, child: Child) -> subprocess.Popen[bytes]:
        """Start `child` and look after it from now on."""
        rotate_log(child.log)
        self.children.append(child)
        return self._start(child)

    def look(self, *, now: float) -> None:
        """Note which children ended, and start again those whose pause is over. Call it a few times a second."""
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                self._note_end(child, child.process.returncode, now)
            if child.due_at is not None and now >= child.due_at:
                self._start(child)
            if child.log.exists() and child.log.stat().st_size > LONGEST_LOG:
                keep_log(child.log)

    def stop(self) -> None:
        """End every child, the last stage first; kills what does not end in time. Afterwards nothing is left."""
        for stage in sorted({child.stage for child in self.children}, reverse=True):
            leaving = [
                (child, child.process)
                for child in self.children
                if child.stage == stage and child.process is not None
            ]
            for child, process in leaving:
                if process.poll() is None:
                    process.send_signal(child.stop_by)
            deadline = time.monotonic()
            for child, process in leaving:
                try:
                    process.wait(max(0.1, deadline + child.patience - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass
                end_group(process)
        self.children.clear()

    def _start(self, child: Child) -> subprocess.Popen[bytes]:
        child.due_at = None
        child.started_at = time.monotonic()
        child.process = child.start()
        return child.process

    def _note_end(self, child: Child, code: int, now: float) -> None:
        assert child.process is not None
        end_group(child.process)
        child.process = None
        child.failures = 1 if now - child.started_at > SOUND_AFTER else child.failures + 1
        pause = min(LONGEST_PAUSE, 0.5 * 2 ** (child.failures - 1))
        child.due_at = now + pause
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self.say(f"{child.name} {how}; starting it again in {pause:g} s (see {child.log})")


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child where it still runs, and whatever it started and left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nobody is left
    process.wait()


def rotate_log(log: Path) -> None:
    """Begin a new log; the one before it stays beside it as `.1`."""
    if log.exists() and log.stat().st_size:
        log.replace(log.with_name(log.name + ".1"))


def keep_log(log: Path) -> None:
    """Copy the log to `.1` and empty it, while the child goes on appending to it."""
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
