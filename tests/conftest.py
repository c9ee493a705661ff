"""What every test gets: no network but loopback, and real services where it needs them."""

import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.base.creation import BaseDatabaseCreation
from django.test import TransactionTestCase

from console import environment
from console.services.postgres import Postgres
from console.services.valkey import Valkey

# A test database may be lost with the machine; waiting for its disk would only cost time.
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "64MB"}


class NetworkBlocked(RuntimeError):
    """A test tried to reach another machine."""


@pytest.fixture(scope="session")
def home() -> Path:
    """The state folder of this test run; services and their sockets belong to it."""
    home = environment.home()
    (home / "logs").mkdir()
    return home


@pytest.fixture(scope="session")
def postgres(home: Path) -> Iterator[Postgres]:
    """The running PostgreSQL of this test run."""
    server = Postgres(
        home=home, sockets=environment.socket_dir(home), log=home / "logs" / "postgres.log", settings=FAST
    )
    server.prepare()
    process = server.start()
    try:
        server.wait_ready(process)
        yield server
    finally:
        server.stop(process)


@pytest.fixture(scope="session")
def valkey(home: Path) -> Iterator[Valkey]:
    """The running Valkey of this test run."""
    server = Valkey(home=home, sockets=environment.socket_dir(home), log=home / "logs" / "valkey.log")
    server.prepare()
    process = server.start()
    try:
        server.wait_ready(process)
        yield server
    finally:
        server.stop(process)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Postgres, valkey: Valkey) -> None:
    """Start the services before the first test that uses the database; tests without it start none."""


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """What a worker knows for a moment of earlier calls is of the test before."""
    from agents.runtime import novelty  # models can be imported only now

    novelty.forget()


# Made by migrations and their signals, and changed by no test.
KEPT = {"django_migrations", "django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empty the tables after a test that commits by DELETE: on tables of a few rows, TRUNCATE takes fifty times as long."""

    def empty(self: TransactionTestCase) -> None:
        names = [name for name in connection.introspection.django_table_names() if name not in KEPT]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # no foreign keys, no triggers
            cursor.execute("; ".join(f"DELETE FROM {connection.ops.quote_name(name)}" for name in names))

    def destroy(self: BaseDatabaseCreation, name: str, verbosity: int) -> None:
        """Also where a thread that outlives its test, such as one of a pool, still has a connection."""
        with self._nodb_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"DROP DATABASE {self.connection.ops.quote_name(name)} WITH (FORCE)")

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
    patch.setattr(BaseDatabaseCreation, "_destroy_test_db", destroy)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse connections and name look-ups beyond this machine, in every thread."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect))
    patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex))
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse_outside(host)
        return original(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    patch.undo()


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse_outside(address[0])
        return connect(self, address)

    return guarded


def _refuse_outside(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", "testserver"):
        return
    try:
        local = ipaddress.ip_address(name.split("%")[0]).is_loopback or name == "0.0.0.0"
    except ValueError:
        local = False
    if not local:
        raise NetworkBlocked(f"Tests reach this machine only, not {name}.")
