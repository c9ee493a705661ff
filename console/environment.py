"""What the environment says, and what holds where it says nothing: the embedded services of `make up`."""

import hashlib
import os
import secrets
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent


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


def model_endpoints() -> dict[str, dict[str, str]]:
    """Base URL and key by provider; without both of them the simulator stands in for it."""
    return {
        name: {
            "api_key": os.environ.get(f"{name.upper()}_API_KEY", ""),
            "base_url": os.environ.get(f"{name.upper()}_BASE_URL", ""),
        }
        for name in ("anthropic", "openai")
    }
