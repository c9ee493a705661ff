"""The installation that the bench measures: database, Valkey, clock and workers as `manage.py up` starts them."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg

from console import environment
from console.services.child import start_child, stop_child
from console.services.postgres import Postgres
from console.services.stack import CONNECTIONS_PER_PROCESS, THREADS_PER_WORKER, clock_command, worker_command
from console.services.valkey import Valkey
from tests.bench.ledger import Ledger
from tests.waiting import until

APP = "tests.bench.workers"
WORKERS = 2
RUNS_AT_ONCE = 200  # that the workers must carry together while each waits for a model
DURABLE = {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}


class Site:
    """Starts processes on `home`, which belongs to the bench alone, and ends each of them."""

    def __init__(self, home: Path, *, ledger: Path, threads: int = 0) -> None:
        self.threads = threads or max(THREADS_PER_WORKER, RUNS_AT_ONCE // WORKERS)
        self.home, self.logs = home, home / "logs"
        self.sockets = environment.socket_dir(home)
        self.logs.mkdir()
        self.postgres = Postgres(home=home, sockets=self.sockets, log=self.logs / "postgres.log")
        self.valkey = Valkey(home=home, sockets=self.sockets, log=self.logs / "valkey.log")
        self.ledger = Ledger(ledger)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def open(self) -> None:
        """Start database and Valkey, and make the database `gatehouse`."""
        for name, server in (("postgres", self.postgres), ("valkey", self.valkey)):
            server.prepare()
            self.processes[name] = server.start()
            server.wait_ready(self.processes[name])
        self.postgres.create_database("gatehouse")

    def staff(self) -> None:
        """Start the clock and the workers; return once they are ready."""
        self.processes["beat"] = self._start("beat", clock_command(app=APP))
        self.hire_all()
        self.wait_ready()

    def hire(self, number: int) -> None:
        """Start the worker of this number, in place of one that died."""
        name = f"worker-{number}"
        self.processes[name] = self._start(name, worker_command(app=APP, name=name, threads=self.threads))

    def wait_ready(self) -> dict[int, float]:
        """Wait for all workers; when each was ready, by process id."""
        pids = {worker.pid for worker in self.workers}

        def ready() -> dict[int, float]:
            self.require_alive()
            return {pid: at for pid, at in self.ledger.ready().items() if pid in pids}

        until(lambda: len(ready()) == len(pids), "the workers are ready", seconds=60)
        return ready()

    def kill(self, number: int) -> None:
        """End a worker as a crash does."""
        worker = self.processes[f"worker-{number}"]
        worker.kill()
        worker.wait()

    def hire_all(self) -> None:
        """Start every worker, without waiting for it."""
        for number in range(1, WORKERS + 1):
            self.hire(number)

    def kill_all(self) -> None:
        """End every worker as a crash of the machine does."""
        for number in range(1, WORKERS + 1):
            self.kill(number)

    @property
    def workers(self) -> list[subprocess.Popen[bytes]]:
        """The worker processes, in order."""
        return [self.processes[f"worker-{number}"] for number in range(1, WORKERS + 1)]

    def require_alive(self) -> None:
        """Fail, with its last words, where a process has ended that should run."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                words = (self.logs / f"{name}.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {words}")

    def database(self, name: str) -> str:
        """The address of a database of this server; made anew, and empty, where it is not the engine's own."""
        if name != "gatehouse":
            with self.postgres.connect("postgres") as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
                connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://postgres@/{name}?host={self.sockets}"

    def check_durable(self) -> dict[str, str]:
        """What the server says of these settings; RuntimeError unless a commit is on the disk when it returns."""
        with psycopg.connect(self.database("gatehouse")) as connection:
            found = {name: str(connection.execute(f"SHOW {name}".encode()).fetchone()[0]) for name in DURABLE}  # type: ignore[index]
        if found != DURABLE:
            raise RuntimeError(f"The bench needs {DURABLE}; the server has {found}.")
        return found

    def close(self) -> None:
        """End everything that was started, the servers last, and remove the sockets."""
        for name, process in self.processes.items():
            if name not in {"postgres", "valkey"}:
                process.terminate()
        for name in reversed(self.processes):
            how = signal.SIGINT if name == "postgres" else signal.SIGTERM
            stop_child(self.processes[name], by=how, seconds=8)
        self.processes.clear()
        self.ledger.close()
        shutil.rmtree(self.sockets, ignore_errors=True)
        if self.postgres.folder != self.home:
            shutil.rmtree(self.postgres.folder, ignore_errors=True)

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        return start_child(
            command=[sys.executable, *command],
            log=self.logs / f"{name}.log",
            env=os.environ | {"DATABASE_POOL": str(CONNECTIONS_PER_PROCESS)},
            cwd=environment.ROOT,
        )
