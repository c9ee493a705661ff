"""The processes of one installation: what each is called, how it starts, and in which order they end."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from console import environment
from console.services.child import start_child
from console.services.failure import ServiceFailure
from console.services.postgres import Postgres
from console.services.preflight import free_port
from console.services.supervisor import Child, Supervisor
from console.services.valkey import Valkey

# A stage ends when all of the higher ones have: programs before the servers that they use.
SERVERS, PROGRAMS = 0, 1
THREADS_PER_WORKER = 100
CONNECTIONS_PER_PROCESS = 12


@dataclass
class Stack:
    """Starts the processes under `supervisor`. `host` and `port` are where the web server listens."""

    supervisor: Supervisor
    home: Path
    host: str
    port: int
    workers: int
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logs = self.home / "logs"
        self.env = {
            **os.environ,
            "GATEHOUSE_HOME": str(self.home),
            "DATABASE_POOL": os.environ.get("DATABASE_POOL", str(CONNECTIONS_PER_PROCESS)),
            "BASE_URL": os.environ.get("BASE_URL", self.url),
            "ALLOWED_HOSTS": os.environ.get("ALLOWED_HOSTS", f"127.0.0.1,localhost,[::1],{self.address}"),
        }

    @property
    def address(self) -> str:
        """The host by which this machine reaches its own web server, as it is written in a URL."""
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"[{name}]" if ":" in name else name

    @property
    def url(self) -> str:
        """Where the console answers."""
        return f"http://{self.address}:{self.port}"

    def start_database(self) -> None:
        """Start the embedded PostgreSQL, and make its database where there is none."""
        log = self.logs / "postgres.log"
        connections = max(150, CONNECTIONS_PER_PROCESS * (self.workers + 3))
        settings = {"max_connections": str(connections)}
        server = Postgres(
            home=self.home, sockets=environment.socket_dir(self.home), log=log, settings=settings
        )

        def start() -> subprocess.Popen[bytes]:
            server.prepare()
            return server.start()

        child = Child("postgres", log, start, stage=SERVERS, stop_by=signal.SIGINT, patience=8)
        server.wait_ready(self.supervisor.adopt(child))
        server.create_database("gatehouse")

    def start_valkey(self) -> None:
        """Start the embedded Valkey."""
        log = self.logs / "valkey.log"
        server = Valkey(home=self.home, sockets=environment.socket_dir(self.home), log=log)
        server.prepare()
        server.wait_ready(
            self.supervisor.adopt(Child("valkey", log, server.start, stage=SERVERS, patience=3))
        )

    def start_simulator(self) -> None:
        """Start the simulated models, and tell the programs that are started later where they are."""
        port = free_port()
        self.env["GATEHOUSE_SIMULATOR_URL"] = f"http://127.0.0.1:{port}"
        self._adopt("simulator", ["-m", "agents.simulator", "--port", str(port)])

    def start_programs(self) -> None:
        """Start the workers, the clock that wakes them, and the web server."""
        for number in range(1, self.workers + 1):
            name = f"worker-{number}"
            self._adopt(name, worker_command(app="console.celery", name=name))
        self._adopt("beat", clock_command(app="console.celery"))
        web = ["-m", "uvicorn", "console.asgi:application", "--host", self.host, "--port", str(self.port)]
        # Sign-in links are in paths, so requests are not logged; the console has its own audit log.
        self._adopt("web", [*web, "--no-access-log", "--timeout-graceful-shutdown", "3"])

    def wait_ready(self, *, seconds: float = 90) -> None:
        """Return once the web server says that it is ready. Raises ServiceFailure where that takes too long."""
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            self.supervisor.look(now=time.monotonic())
            if time.monotonic() > deadline:
                raise ServiceFailure(
                    f"The console did not get ready within {seconds:.0f} s: see {self.logs}."
                )
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection(self.address.strip("[]"), self.port, timeout=5)
        try:
            connection.request("GET", "/readyz", headers={"Host": f"{self.address}:{self.port}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _adopt(self, name: str, arguments: Sequence[str]) -> None:
        log = self.logs / f"{name}.log"
        command = [sys.executable, *arguments]

        def start() -> subprocess.Popen[bytes]:
            return start_child(command=command, log=log, env=self.env, cwd=environment.ROOT)

        self.supervisor.adopt(Child(name, log, start, stage=PROGRAMS))


def worker_command(*, app: str, name: str, threads: int = THREADS_PER_WORKER) -> list[str]:
    """The arguments of the interpreter that make it a worker of the Celery application `app`."""
    pool = ["--pool", "threads", "--concurrency", str(threads)]
    # Workers need not know each other: what is to be done is in the database.
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    command = ["-m", "celery", "--app", app, "--quiet", "worker", *pool, *alone]
    return [*command, "--hostname", f"{name}@%h", "--loglevel", "WARNING"]


def clock_command(*, app: str) -> list[str]:
    """The arguments of the interpreter that make it the clock of the Celery application `app`."""
    # The schedule is short intervals alone, so nothing of it needs to be kept on disk.
    schedule = ["--scheduler", "celery.beat:Scheduler", "--loglevel", "WARNING"]
    return ["-m", "celery", "--app", app, "--quiet", "beat", *schedule]


def simulator_is_needed() -> bool:
    """Whether some provider has neither a key nor a base URL, so that the simulator stands in for it."""
    endpoints = environment.model_endpoints().values()
    return any(not endpoint["api_key"] and not endpoint["base_url"] for endpoint in endpoints)
