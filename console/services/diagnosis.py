"""What is sound about this installation, and what somebody should do about the rest."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from agents.models import Credential
from agents.tools.egress.rules import EgressRefused, rules
from console.celery import app
from console.models import SigningKey
from console.notifications.sealed import rows as sealed_rows
from console.services.preflight import SPACE_NEEDED
from traces import sealing
from traces.otlp.export import standing

OLDEST_POSTGRES = 15


@dataclass(frozen=True)
class Finding:
    """What was found about `subject`. Where `to_do` is not empty, it says what somebody should do."""

    subject: str
    found: str
    to_do: str = ""


def examine() -> Iterator[Finding]:
    """All findings, in the order in which they are worth mending."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions,
        _home,
        _settings,
        _database,
        _valkey,
        _models,
    )
    for check in checks:
        yield from check()


def _versions() -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    to_do = (
        "" if sys.version_info >= (3, 11) else "Install Python 3.11 or newer, remove .venv, and run make up."
    )
    yield Finding("Python", python, to_do)
    yield Finding(
        "packages", ", ".join(f"{name} {version(name)}" for name in ("django", "celery", "channels"))
    )


def _home() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.HOME).free
    to_do = "" if free >= SPACE_NEEDED else f"Make room: {SPACE_NEEDED // 2**20} MB are needed."
    yield Finding("state folder", f"{settings.HOME}, {free // 2**20} MB free", to_do)


def _settings() -> Iterator[Finding]:
    short = len(settings.SECRET_KEY) < 32
    to_do = (
        "Set SECRET_KEY to a random value of 50 characters: all sessions end with the change."
        if short
        else ""
    )
    yield Finding("SECRET_KEY", f"{len(settings.SECRET_KEY)} characters", to_do)
    yield (
        Finding("DEBUG", "on", "Unset DEBUG: it shows internals.")
        if settings.DEBUG
        else Finding("DEBUG", "off")
    )
    alone = "on: one person may approve what they asked, edited or published; each is recorded"
    yield Finding("single operator", alone if settings.SINGLE_OPERATOR else "off")
    base = urlsplit(settings.BASE_URL)
    outside = base.hostname not in {"127.0.0.1", "localhost", "::1"}
    if outside and base.scheme != "https":
        to_do = "Put a proxy with TLS before it and set BASE_URL to its https:// address: sessions travel readably."
        yield Finding("BASE_URL", settings.BASE_URL, to_do)
    elif outside and not {base.hostname, "*"} & set(settings.ALLOWED_HOSTS):
        yield Finding("BASE_URL", settings.BASE_URL, f"Add {base.hostname} to ALLOWED_HOSTS.")
    else:
        yield Finding("BASE_URL", settings.BASE_URL)
    try:
        rules()
    except EgressRefused as error:
        yield Finding("GATEHOUSE_EGRESS", "tools reach nothing", str(error))
    else:
        yield Finding("GATEHOUSE_EGRESS", f"tools may reach {', '.join(settings.EGRESS)}")


def _database() -> Iterator[Finding]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            number = int(cursor.fetchone()[0])
            cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
            vector = cursor.fetchone()
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error as error:
        reason = str(error).strip().splitlines()[0]
        yield Finding(
            "database", f"does not answer ({reason})", "Start it with make up, or check DATABASE_URL."
        )
        return
    old = number < OLDEST_POSTGRES * 10000
    to_do = f"Use PostgreSQL {OLDEST_POSTGRES} or newer." if old else ""
    yield Finding("database", f"PostgreSQL {number // 10000}.{number % 10000}", to_do)
    if vector is None:
        yield Finding("pgvector", "missing", "Install pgvector on the database server.")
    else:
        yield Finding("pgvector", vector[0])
    to_do = "Run python manage.py migrate." if missing else ""
    yield Finding("tables", f"{len(missing)} migrations to apply" if missing else "up to date", to_do)
    if not missing:
        yield from _sealed()
        yield from _export()


def _sealed() -> Iterator[Finding]:
    rows = [
        (f"credential {name}", sealed) for name, sealed in Credential.objects.values_list("name", "sealed")
    ]
    keys = SigningKey.objects.values_list("user__username", "sealed")
    rows += [(f"signing key of {name}", sealed) for name, sealed in keys]
    rows += [(name, row.sealed) for name, row in sealed_rows()]
    unreadable = sorted({name for name, sealed in rows if not sealing.is_readable(bytes(sealed))})
    old = sum(not sealing.is_current(bytes(sealed)) for _, sealed in rows) - len(unreadable)
    found, to_do = f"{len(rows)} sealed", ""
    if unreadable:
        found = f"can't be read: {', '.join(unreadable)}"
        to_do = "Name the SECRET_KEY of then in SECRET_KEY_FALLBACKS, or set them anew: manage.py credentials set NAME."
    elif old:
        found += f", {old} with an older key: run manage.py credentials rotate-key before you drop that"
    yield Finding("credentials and signing keys", found, to_do)


def _export() -> Iterator[Finding]:
    if (export := standing()) is None:
        return
    contents = "with" if settings.OTLP_CONTENTS else "without"
    found, to_do = f"spans go to {export.to}, {contents} prompts and answers", ""
    if export.failures:
        found = f"{export.failures} attempts in a row failed to send spans to {export.to}. {export.error}"
        to_do = "Check OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS: nothing is lost meanwhile."
    if export.refused:
        found += f"; {export.refused} never went out, since they were refused for good, last {export.refusal}"
    yield Finding("OTLP export", found, to_do)


def _valkey() -> Iterator[Finding]:
    try:
        with redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=5, decode_responses=True) as client:
            info = client.info("server")
    except redis.exceptions.RedisError as error:
        yield Finding("Valkey", f"does not answer ({error})", "Start it with make up, or check VALKEY_URL.")
        return
    yield Finding("Valkey", f"version {info.get('valkey_version') or info['redis_version']}")
    workers = app.control.ping(timeout=2) or []
    to_do = "" if workers else "Start one: make up, or celery -A console.celery worker --pool threads."
    yield Finding("workers", f"{len(workers)} answer", to_do)


def _models() -> Iterator[Finding]:
    for provider, endpoint in settings.MODEL_ENDPOINTS.items():
        if endpoint["api_key"]:
            found = "its key is set"
        elif endpoint["base_url"]:
            found = f"no key, at {urlsplit(endpoint['base_url']).hostname}"
        else:
            found = f"simulated: set {provider.upper()}_API_KEY for real answers"
        yield Finding(f"models of {provider}", found)
