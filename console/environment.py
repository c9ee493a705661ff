"""What the environment says, and what holds where it says nothing: the embedded services of `make up`."""

import hashlib
import os
import re
import secrets
import sys
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent
_HEADER = re.compile(r"[a-z0-9_.-]+")


def home() -> Path:
    """The folder that holds the state of this installation."""
    return Path(os.environ.get("GATEHOUSE_HOME", ROOT / ".gatehouse")).resolve()


def socket_dir(home: Path) -> Path:
    """Folder of the private sockets: it follows from `home` alone, so that every shell finds the same services.

    A socket's path may have some 100 bytes, so the folder can't lie in `home`; /tmp is the same whatever TMPDIR says.
    """
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path("/tmp") / f"gatehouse-{digest}"  # noqa: S108 (its owner is checked before use)


def base_url(home: Path) -> str:
    """`BASE_URL`, or where the last `up` on `home` answered, so that commands beside it print links that work."""
    if value := os.environ.get("BASE_URL"):
        return value
    note = home / "base_url"
    return note.read_text() if note.exists() else "http://127.0.0.1:8000"


def listed(name: str, default: list[str]) -> list[str]:
    """A comma-separated variable as a list."""
    value = os.environ.get(name, "")
    return [part.strip() for part in value.split(",") if part.strip()] or default


def roles(name: str, default: list[str]) -> frozenset[str]:
    """A comma-separated variable as roles of people."""
    found = listed(name, default)
    if unknown := sorted(set(found) - {"operator", "analyst", "admin"}):
        raise ImproperlyConfigured(f"{name}: {unknown[0]!r} is no role; use operator, analyst, admin.")
    return frozenset(found)


def database_url(home: Path) -> str:
    """`DATABASE_URL`, or the embedded server on its private socket."""
    return os.environ.get("DATABASE_URL") or (f"postgresql://postgres@/gatehouse?host={socket_dir(home)}")


def database_pool() -> dict[str, int] | bool:
    """The connections that one process keeps: `DATABASE_POOL` at most, or 20.

    A management command needs one connection and no pool, and so learns at once where no database listens.
    """
    size = int(os.environ.get("DATABASE_POOL") or (0 if Path(sys.argv[0]).name == "manage.py" else 20))
    return {"min_size": 1, "max_size": size, "timeout": 60} if size else False


def valkey_url(home: Path) -> str:
    """`VALKEY_URL`, or the embedded server on its private socket."""
    return os.environ.get("VALKEY_URL") or f"unix://{socket_dir(home)}/valkey.sock"


def broker_url(valkey_url: str) -> str:
    """The same server as Celery writes it."""
    return valkey_url.replace("unix://", "redis+socket://", 1)


def secret_key(home: Path) -> str:
    """`SECRET_KEY`, or one that is made once and kept in `home`.

    Raises ImproperlyConfigured where outside services are named but no secret is: several hosts must share one.
    """
    if value := os.environ.get("SECRET_KEY"):
        return value
    if os.environ.get("DATABASE_URL"):
        raise ImproperlyConfigured(
            "DATABASE_URL is set but SECRET_KEY is not: set SECRET_KEY to a long random value that all hosts share."
        )
    path = home / "secret_key"
    try:
        if not path.exists():
            _make_secret(path)
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The state folder {home} can't be used ({error.strerror}):"
            f" make it writable, or set GATEHOUSE_HOME to a folder that is."
        ) from error


def _make_secret(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(48))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key is the key
    draft.unlink()


def email(url: str) -> dict[str, object]:
    """Django's settings for `EMAIL_URL`: `smtp://NAME:PASSWORD@HOST:PORT?from=ADDRESS`, or `smtps://`; empty: no e-mail.

    `smtp` uses STARTTLS where a name is given, since a password goes nowhere in the clear; `?tls=no` says otherwise.
    Raises ImproperlyConfigured.
    """
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ImproperlyConfigured(
            "EMAIL_URL: write smtp://NAME:PASSWORD@HOST:PORT?from=ADDRESS, or smtps://."
        )
    tls = query.get("tls", "yes" if parts.username else "no") == "yes"
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 587 if parts.username else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp" and tls,
        "EMAIL_TIMEOUT": 10,
        "DEFAULT_FROM_EMAIL": query.get("from", f"gatehouse@{parts.hostname}"),
    }


def otlp_endpoint(base: str) -> str:
    """Where spans are sent, below the base URL; empty: nowhere. Raises ImproperlyConfigured."""
    if not base:
        return ""
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT: write the base URL of an OTLP receiver, such as http://127.0.0.1:4318;"
            " secrets belong into OTEL_EXPORTER_OTLP_HEADERS."
        )
    return f"{base.rstrip('/')}/v1/traces"


def otlp_headers(value: str) -> dict[str, str]:
    """Headers from such as `authorization=Bearer%20abc,x-team=shop`, as OpenTelemetry writes them.

    Raises ImproperlyConfigured, without the value: it may be a secret.
    """
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    headers = {name.strip().lower(): unquote(text.strip()) for name, _, text in pairs}
    if not all(
        _HEADER.fullmatch(name) and text.isprintable() and text.isascii() for name, text in headers.items()
    ):
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_HEADERS: write NAME=VALUE,NAME=VALUE, with what is special in a value as %20."
        )
    return headers


def due_seconds(value: str) -> dict[str, int]:
    """After how long a request of each risk should be answered, from such as `high=15,medium=60,low=240` (min)."""
    try:
        pairs = [part.split("=") for part in value.split(",") if part.strip()]
        minutes = {name.strip(): int(number) for name, number in pairs}
    except ValueError as error:
        raise ImproperlyConfigured("GATEHOUSE_DUE_MINUTES: write high=15,medium=60,low=240.") from error
    if unknown := sorted(minutes.keys() - {"high", "medium", "low"}):
        raise ImproperlyConfigured(
            f"GATEHOUSE_DUE_MINUTES: {unknown[0]!r} is no risk; use high, medium, low."
        )
    return {risk: 60 * number for risk, number in minutes.items()}


def step_up_risk(value: str) -> str:
    """`low`, `medium`, `high`, or empty: only where a rule asks for it. Raises ImproperlyConfigured."""
    if value not in ("", "low", "medium", "high"):
        raise ImproperlyConfigured(f"GATEHOUSE_STEP_UP: {value!r} is no risk; use high, medium, low.")
    return value


def model_endpoints() -> dict[str, dict[str, str]]:
    """Base URL and key by provider; without both of them the simulator stands in for it."""
    return {
        name: {
            "api_key": os.environ.get(f"{name.upper()}_API_KEY", ""),
            "base_url": os.environ.get(f"{name.upper()}_BASE_URL", ""),
        }
        for name in ("anthropic", "openai")
    }
