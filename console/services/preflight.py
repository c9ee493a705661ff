"""What must hold before anything is started; each failure says in one line what to do."""

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.services.failure import ServiceFailure

SPACE_NEEDED = 500 * 1024 * 1024


def make_home(home: Path) -> None:
    """Make the state folder with its `logs`. Raises ServiceFailure where that can't be done, or the disk is full."""
    try:
        (home / "logs").mkdir(parents=True, exist_ok=True)
        (home / "logs").chmod(0o700)
        probe = home / f"probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ServiceFailure(
            f"The state folder {home} can't be written ({error.strerror}):"
            f" make it writable, or set GATEHOUSE_HOME to a folder that is."
        ) from error
    free = shutil.disk_usage(home).free
    if free < SPACE_NEEDED:
        raise ServiceFailure(
            f"The disk of {home} has {free // 2**20} MB left, and {SPACE_NEEDED // 2**20} MB are needed:"
            f" make room, or set GATEHOUSE_HOME to a folder on another disk."
        )


def check_port(*, host: str, port: int) -> None:
    """Raises ServiceFailure where nobody could listen on `port` of `host` now."""
    if not 1 <= port <= 65535:
        raise ServiceFailure(f"{port} is no port: choose one from 1 to 65535.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except socket.gaierror as error:
        raise ServiceFailure(
            f"{host!r} is no address of this machine: choose another, HOST=127.0.0.1 say."
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"Port {port} on {host} is in use: stop what listens there, or choose another with PORT={port + 1}."
        elif error.errno == errno.EACCES:
            reason = f"Port {port} may not be used by this user: choose one above 1023, PORT=8000 say."
        else:
            reason = (
                f"Nothing can listen on {host} port {port} ({error.strerror}): choose another HOST or PORT."
            )
        raise ServiceFailure(reason) from error


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def sole_use(home: Path) -> Iterator[None]:
    """Hold `home` for this process alone. Raises ServiceFailure where another one holds it.

    The hold ends with the process, however it ends.
    """
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise ServiceFailure(
                f"Gatehouse runs on {home} already (process {lock.read().strip() or 'unknown'}):"
                f" stop it first, or set GATEHOUSE_HOME to another folder."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
