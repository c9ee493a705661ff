"""The supervisor starts again what dies, more patiently each time, and leaves nothing when it stops."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from console.services import supervisor as supervision
from console.services.child import start_child
from console.services.supervisor import Child, Supervisor

pytestmark = pytest.mark.req("OPS-1")

OBSTINATE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(name: str, tmp_path: Path, program: str, *, stage: int = 1, patience: float = 5) -> Child:
    log = tmp_path / f"{name}.log"

    def start() -> subprocess.Popen[bytes]:
        return start_child(command=[sys.executable, "-c", program], log=log)

    return Child(name, log, start, stage=stage, patience=patience)


def test_pauses_grow_while_a_child_keeps_dying(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(say=said.append)
    dying = child("web", tmp_path, "raise SystemExit(3)")
    supervisor.adopt(dying)
    pauses = []
    for _ in range(8):
        assert dying.process is not None
        dying.process.wait()
        now = time.monotonic()
        supervisor.look(now=now)
        assert dying.due_at is not None
        pauses.append(dying.due_at - now)
        supervisor.look(now=dying.due_at)
    supervisor.stop()
    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30])
    assert said[0].startswith("web ended with exit code 3; starting it again in 0.5 s")


def test_a_child_that_ran_well_is_started_again_soon(tmp_path: Path) -> None:
    supervisor = Supervisor(say=lambda line: None)
    dying = child("web", tmp_path, "")
    dying.failures = 7
    process = supervisor.adopt(dying)
    process.wait()
    now = dying.started_at + supervision.SOUND_AFTER + 1
    supervisor.look(now=now)
    assert dying.due_at == pytest.approx(now + 0.5)


def test_stop_kills_what_does_not_listen_and_what_it_started(tmp_path: Path) -> None:
    supervisor = Supervisor(say=lambda line: None)
    program = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {OBSTINATE!r}]); {OBSTINATE}"
    stubborn = child("worker", tmp_path, program, patience=0.2)
    process = supervisor.adopt(stubborn)
    while stubborn.log.read_text().count("up") < 2:
        time.sleep(0.02)
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
    supervisor.stop()
    gone, left = psutil.wait_procs(family, timeout=5)
    assert (len(gone), left) == (2, [])


def test_servers_end_after_the_programs_that_use_them(tmp_path: Path) -> None:
    ends: list[str] = []
    supervisor = Supervisor(say=lambda line: None)
    note = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); print('up', flush=True); time.sleep(60)"
    for name, stage in (("postgres", 0), ("web", 1)):
        supervisor.adopt(child(name, tmp_path, note, stage=stage))
    children = list(supervisor.children)
    for each in children:
        while "up" not in each.log.read_text():
            time.sleep(0.02)
        assert each.process is not None
        wait = each.process.wait

        def noted(timeout: float | None = None, *, name: str = each.name, wait: object = wait) -> int:
            code = wait(timeout)  # type: ignore[operator]
            if name not in ends:
                ends.append(name)
            return int(code)

        each.process.wait = noted  # type: ignore[method-assign]
    supervisor.stop()
    assert ends == ["web", "postgres"]


def test_a_long_log_is_kept_once_and_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LONGEST_LOG", 10)
    supervisor = Supervisor(say=lambda line: None)
    talkative = child("web", tmp_path, "print('x' * 100)")
    supervisor.adopt(talkative).wait()
    supervisor.look(now=time.monotonic())
    assert talkative.log.stat().st_size == 0
    assert talkative.log.with_name("web.log.1").stat().st_size == 101


def test_children_die_with_whoever_started_them(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from console.services.child import start_child\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        f"print(start_child(command=[sys.executable, '-c', {OBSTINATE!r}], log=log).pid, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([orphan], timeout=5)[1] == []
