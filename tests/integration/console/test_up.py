"""`manage.py up` as people run it: a real start in a home of its own, watched from outside."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from console import environment
from console.services.preflight import free_port

pytestmark = [pytest.mark.req("OPS-1"), pytest.mark.timeout(300)]


class Installation:
    """One home and port, and the `up` that runs on them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        # What the tests' own settings put there would make `up` use the tests' services.
        ours = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY"}
        self.env = {name: value for name, value in os.environ.items() if name not in ours}
        self.env["GATEHOUSE_HOME"] = str(home)
        self.output = home / "up.out"
        self.process: psutil.Popen | None = None

    def start(self, *options: str) -> None:
        """Start `up` and return once it says that it is ready."""
        with self.output.open("w") as output:
            up = psutil.Popen(self.command(*options), env=self.env, stdout=output, stderr=output)
        self.process = up
        wait_until(lambda: "Ctrl-C stops everything" in self.said or up.poll() is not None, seconds=90)
        assert f"ready http://127.0.0.1:{self.port}\n" in self.said, self.said

    def command(self, *options: str) -> list[str]:
        manage = environment.ROOT / "manage.py"
        return [sys.executable, str(manage), "up", "--port", str(self.port), "--workers", "1", *options]

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command beside `up`."""
        words = [sys.executable, str(environment.ROOT / "manage.py"), *command]
        return subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=60, check=False)

    def refuse(self, *options: str) -> str:
        """Start `up` where it has to refuse; the line that it says."""
        command = self.command(*options)
        ended = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1, ended
        (line,) = ended.stderr.strip().splitlines()
        return line

    @property
    def said(self) -> str:
        return self.output.read_text()

    def family(self) -> list[psutil.Process]:
        """Every process that belongs to this installation now."""
        assert self.process is not None
        return [self.process, *self.process.children(recursive=True)]

    def child(self, words: str) -> psutil.Process:
        """The direct child with `words` in its command line, waited for."""
        up = self.process
        assert up is not None
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [child for child in up.children() if words in " ".join(command_line(child))]
            return bool(found)

        wait_until(look, seconds=30)
        return found[0]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        sockets = str(environment.socket_dir(self.home))
        with psycopg.connect(
            host=sockets, user="postgres", dbname="gatehouse", autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def stop(self, by: signal.Signals) -> list[psutil.Process]:
        """Send `by` to `up` alone, and wait for its end; whoever of its family is left 10 s after that."""
        family = self.family()
        assert self.process is not None
        self.process.send_signal(by)
        self.process.wait(20)
        _, left = psutil.wait_procs(family, timeout=10)
        return left


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"It did not happen within {seconds} s."
        time.sleep(0.05)


@pytest.fixture
def installation() -> Iterator[Installation]:
    """An installation in a fresh home, of which nothing is left afterwards."""
    with tempfile.TemporaryDirectory(prefix="gatehouse-up-") as folder:
        installation = Installation(Path(folder).resolve())
        yield installation
        if installation.process is not None and installation.process.is_running():
            installation.stop(signal.SIGKILL)
        sockets = environment.socket_dir(installation.home)
        if sockets.exists():
            for path in sockets.iterdir():
                path.unlink()
            sockets.rmdir()


def test_a_life(installation: Installation) -> None:
    installation.start()
    assert installation.is_ready()
    assert installation.get("/healthz").status_code == 200
    links = dict(re.findall(r"sign in as (\w+) .*: http://127.0.0.1:\d+(/sign-in/\S+)", installation.said))
    assert links.keys() == {"operator", "analyst", "admin"}, installation.said
    assert "sessionid" in installation.get(links["admin"]).cookies
    spent = installation.get(links["admin"])
    another = installation.manage("sign_in_link", "ada").stdout.strip()
    assert "sessionid" in httpx.get(another).cookies, "commands know where the console answers"
    assert (spent.status_code, "sessionid" in spent.cookies) == (302, False), "a link works once"

    assert "runs on" in installation.refuse(), "a second one on the same home is refused"

    web = installation.child("uvicorn")
    web.kill()
    wait_until(lambda: not web.is_running() and installation.is_ready(), seconds=30)
    assert "web was killed by SIGKILL; starting it again" in installation.said
    installation.child("-D").kill()
    wait_until(lambda: "postgres was killed" in installation.said and installation.is_ready(), seconds=30)
    installation.child("celery --app console.celery --quiet worker").kill()
    installation.child("valkey-server").kill()
    wait_until(lambda: "valkey was killed" in installation.said and installation.is_ready(), seconds=30)

    # Valkey and the worker were gone a moment ago: once they have found each other, there is nothing to mend.
    wait_until(lambda: installation.manage("doctor").stdout.endswith("All is well.\n"), seconds=60)
    logs = "".join(log.read_text() for log in (installation.home / "logs").iterdir())
    assert (installation.home / "secret_key").read_text() not in logs
    assert "/sign-in/" not in logs

    installation.sql("CREATE TABLE keepsake AS SELECT 1 AS number")
    begun = time.monotonic()
    assert installation.stop(signal.SIGTERM) == []
    assert time.monotonic() - begun < 10
    assert installation.said.endswith("stopped\n")

    # A lock file whose number now belongs to some other process must not keep the server from starting.
    lock = (installation.home / "postgres").resolve() / "postmaster.pid"
    lock.write_text(
        f"{os.getpid()}\n{lock.parent}\n0\n5432\n{environment.socket_dir(installation.home)}\n\n0 0\nready\n"
    )
    installation.start("--no-examples")
    assert installation.sql("SELECT number FROM keepsake") == [(1,)]
    assert "sign in as" not in installation.said

    assert installation.stop(signal.SIGKILL) == [], (
        "the kernel ends the children of a supervisor that was killed"
    )


def test_a_stop_while_it_starts_leaves_nothing(installation: Installation) -> None:
    with installation.output.open("w") as output:
        command = installation.command()
        installation.process = psutil.Popen(command, env=installation.env, stdout=output, stderr=output)
    wait_until(lambda: "bringing the tables" in installation.said, seconds=60)
    assert installation.stop(signal.SIGINT) == []
    assert installation.said.endswith("stopped\n"), installation.said
    assert "Traceback" not in installation.said


def test_a_port_in_use(installation: Installation) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", installation.port))
        other.listen()
        line = installation.refuse()
    assert line.startswith(f"Port {installation.port} on 127.0.0.1 is in use")


@pytest.mark.parametrize("content", ["garbage", "9.6", ""])
def test_a_broken_data_folder(installation: Installation, content: str) -> None:
    data = installation.home / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text(content)
    assert "move it away" in installation.refuse()
    assert (data / "PG_VERSION").read_text() == content, "what is there is left alone"


def test_a_home_that_cannot_be_written(installation: Installation) -> None:
    blocked = installation.home / "file"
    blocked.write_text("")
    installation.env["GATEHOUSE_HOME"] = str(blocked / "home")
    assert "set GATEHOUSE_HOME to a folder" in installation.refuse()


def test_outside_services_need_a_secret(installation: Installation) -> None:
    installation.env["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    assert "set SECRET_KEY" in installation.refuse()


def test_outside_services_that_do_not_answer(installation: Installation) -> None:
    installation.env |= {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "VALKEY_URL": "redis://127.0.0.1:1",
        "SECRET_KEY": "some secret that is long enough for everybody",
    }
    assert "check DATABASE_URL" in installation.refuse()


def test_commands_say_what_to_start(installation: Installation) -> None:
    ended = installation.manage("showmigrations")
    assert ended.returncode == 1
    assert ended.stderr.strip() == (
        "The database does not answer: start it with make up, in another shell, and leave that running."
    )
    doctor = installation.manage("doctor")
    assert doctor.returncode == 1
    assert "!!  database: does not answer" in doctor.stdout
    assert "Start it with make up" in doctor.stdout


def test_up_ends_with_the_make_that_started_it(installation: Installation) -> None:
    """Even a SIGKILL of make, which can't pass it on, stops all."""
    installation.env["GATEHOUSE_STOP_WITH_PARENT"] = "1"
    with installation.output.open("w") as output:
        make = ["sh", "-c", '"$@"; exit', "make", *installation.command()]
        installation.process = psutil.Popen(make, env=installation.env, stdout=output, stderr=output)
    wait_until(lambda: "bringing the tables" in installation.said, seconds=60)
    assert installation.stop(signal.SIGKILL) == []
