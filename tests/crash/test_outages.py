"""The broker and the database go away under load and come back: every run goes on by itself, by the same processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from console import environment
from console.services.child import start_child, stop_child
from console.services.postgres import Postgres
from console.services.valkey import Valkey
from tests.waiting import until

pytestmark = [pytest.mark.req("RUN-1", "RUN-5"), pytest.mark.timeout(240)]


class Site:
    """An installation of its own: database, Valkey, a worker, the clock, and an office that keeps them busy."""

    def __init__(self, home: Path) -> None:
        self.home = home
        sockets, logs = environment.socket_dir(home), home / "logs"
        logs.mkdir()
        # The machine does not die here, so nothing needs to reach the disk; but what is committed must outlive a kill.
        fast = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
        self.postgres = Postgres(home=home, sockets=sockets, log=logs / "postgres.log", settings=fast)
        self.valkey = Valkey(home=home, sockets=sockets, log=logs / "valkey.log")
        self.sockets = sockets
        ours = ("DATABASE_URL", "VALKEY_URL")
        self.env = {name: value for name, value in os.environ.items() if name not in ours} | {
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "GATEHOUSE_HOME": str(home),
            "GATEHOUSE_LEASE_SECONDS": "3",
            "GATEHOUSE_SWEEP_SECONDS": "0.5",
            "GATEHOUSE_TEST_LEDGER": str(home / "ledger"),
            "DATABASE_POOL": "8",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def open(self) -> None:
        self.start("postgres")
        self.postgres.create_database("gatehouse")
        self.start("valkey")
        self._run("office", "-m", "tests.crash.office", str(self.home))
        until(lambda: self.report("started") or self.ended("office"), "the office works", seconds=90)
        assert not self.ended("office"), self.words("office")
        celery = ("-m", "celery", "--app", "tests.crash.scripted_celery")
        alone = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "INFO")
        self._run("worker", *celery, "worker", "--pool", "threads", "--concurrency", "20", *alone)
        self._run("beat", *celery, "beat", "--scheduler", "celery.beat:Scheduler", "--loglevel", "WARNING")

    def start(self, name: str) -> None:
        server = getattr(self, name)
        server.prepare()
        self.processes[name] = server.start()
        server.wait_ready(self.processes[name])

    def end(self, name: str, by: signal.Signals) -> None:
        """End a server, or have it ended, by a signal."""
        self.processes[name].send_signal(by)
        self.processes[name].wait(30)

    def ended(self, name: str) -> bool:
        return self.processes[name].poll() is not None

    def report(self, what: str) -> Any:
        path = self.home / "report"
        return json.loads(path.read_text())[what] if path.exists() else 0

    def until_more(self, what: str, number: int = 4) -> None:
        """Wait until the office has seen so many more."""
        aim = self.report(what) + number
        until(lambda: self.report(what) >= aim or self.broken(), f"{number} more {what}", seconds=60)
        assert not (dead := self.broken()), self.words(dead)

    def broken(self, *names: str) -> str:
        """The first of these processes that has ended, or of all that should work."""
        return next((name for name in names or ("office", "worker", "beat") if self.ended(name)), "")

    def close(self) -> None:
        """Let every run end, and check that each paid once, by the processes that were there from the start."""
        (self.home / "close").touch()
        until(lambda: self.ended("office"), "all runs end", seconds=120)
        assert self.processes["office"].returncode == 0, self.words("office")
        assert not (dead := self.broken("worker", "beat")), self.words(dead)
        assert self.report("completed") == self.report("started"), self.report("runs")
        paid = (self.home / "ledger").read_text().splitlines()
        assert sorted(paid) == sorted(f"pay_once {call} acme 40.0" for call in self.report("calls"))
        assert len(paid) == self.report("started")

    def words(self, name: str) -> str:
        return (self.home / "logs" / f"{name}.log").read_text()[-4000:]

    def clear(self) -> None:
        for process in reversed(self.processes.values()):
            stop_child(process, by=signal.SIGKILL, seconds=5)
        shutil.rmtree(self.sockets, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, name: str, *words: str) -> None:
        log = self.home / "logs" / f"{name}.log"
        command = [sys.executable, *words]
        self.processes[name] = start_child(command=command, log=log, env=self.env, cwd=environment.ROOT)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site(Path(tempfile.mkdtemp(prefix="gatehouse-test-")))
    try:
        site.open()
        site.until_more("completed")
        yield site
    finally:
        site.clear()


def flush(site: Site) -> None:
    """Every message is lost, again and again, while Valkey runs on."""
    with redis.Redis(unix_socket_path=str(site.valkey.socket)) as client:
        for _ in range(3):
            client.flushall()
            site.until_more("completed", 2)


def restart_valkey(site: Site) -> None:
    """Valkey dies; people go on to start and to decide without it; it comes back, empty."""
    site.end("valkey", signal.SIGKILL)
    site.until_more("acts", 2)
    site.start("valkey")


def restart_postgres(site: Site) -> None:
    """The database is restarted in order: every connection is cut."""
    site.end("postgres", signal.SIGINT)
    site.start("postgres")


def kill_postgres(site: Site) -> None:
    """The database dies at once, and makes good from its log what was cut off."""
    site.end("postgres", signal.SIGQUIT)
    site.start("postgres")


def test_runs_go_on_by_themselves_when_services_fail(site: Site) -> None:
    disasters: list[Callable[[Site], None]] = [flush, restart_valkey, restart_postgres, kill_postgres]
    for disaster in disasters:
        disaster(site)
        site.until_more("completed")
    site.close()
    assert site.report("slowest") < 5  # nobody waits for a broker that is away
