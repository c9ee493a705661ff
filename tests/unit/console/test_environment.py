"""What the environment says, and what holds where it says nothing."""

import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from console import environment

pytestmark = pytest.mark.req("OPS-1")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DATABASE_URL",
        "VALKEY_URL",
        "SECRET_KEY",
        "DATABASE_POOL",
        "BASE_URL",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def test_services_follow_from_the_home_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = environment.database_url(tmp_path), environment.valkey_url(tmp_path)
    monkeypatch.setenv("TMPDIR", "/somewhere/else")
    assert (environment.database_url(tmp_path), environment.valkey_url(tmp_path)) == before
    assert environment.database_url(tmp_path / "other") != before[0]


def test_a_socket_path_is_short_however_long_the_home_is() -> None:
    assert len(str(environment.socket_dir(Path("/" + "long/" * 60)) / ".s.PGSQL.5432")) < 100


def test_urls_of_outside_services_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    monkeypatch.setenv("VALKEY_URL", "redis://cache")
    assert environment.database_url(tmp_path) == "postgresql://db/x"
    assert environment.valkey_url(tmp_path) == "redis://cache"


def test_commands_know_where_the_last_start_answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert environment.base_url(tmp_path) == "http://127.0.0.1:8000"
    (tmp_path / "base_url").write_text("http://127.0.0.1:8123")
    assert environment.base_url(tmp_path) == "http://127.0.0.1:8123"
    monkeypatch.setenv("BASE_URL", "https://gate.example")
    assert environment.base_url(tmp_path) == "https://gate.example"


@pytest.mark.parametrize(
    ("valkey", "broker"),
    [("unix:///run/v.sock", "redis+socket:///run/v.sock"), ("redis://host:6379/1", "redis://host:6379/1")],
)
def test_celery_gets_the_same_server_in_its_own_words(valkey: str, broker: str) -> None:
    assert environment.broker_url(valkey) == broker


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    secret = environment.secret_key(tmp_path / "home")
    assert len(secret) >= 50
    assert environment.secret_key(tmp_path / "home") == secret
    path = tmp_path / "home" / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_the_secret_of_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECRET_KEY", "given")
    assert environment.secret_key(tmp_path) == "given"
    assert list(tmp_path.iterdir()) == []


def test_outside_services_without_a_secret_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not"):
        environment.secret_key(tmp_path)


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImproperlyConfigured, match="set GATEHOUSE_HOME"):
        environment.secret_key(tmp_path / "file")


def test_commands_use_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["manage.py", "doctor"])
    assert environment.database_pool() is False
    monkeypatch.setattr("sys.argv", ["uvicorn"])
    assert environment.database_pool() == {"min_size": 1, "max_size": 20, "timeout": 60}


def test_lists_are_split_and_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", " a.example , b.example,")
    assert environment.listed("ALLOWED_HOSTS", ["localhost"]) == ["a.example", "b.example"]
    monkeypatch.setenv("ALLOWED_HOSTS", "")
    assert environment.listed("ALLOWED_HOSTS", ["localhost"]) == ["localhost"]


def test_a_provider_is_described_by_key_and_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.model_endpoints()["openai"] == {"api_key": "", "base_url": ""}
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    assert environment.model_endpoints()["openai"]["base_url"] == "http://127.0.0.1:9"


@pytest.mark.req("TRC-5")
def test_where_spans_go_and_with_which_headers() -> None:
    assert environment.otlp_endpoint("") == ""
    assert environment.otlp_endpoint("http://127.0.0.1:4318/") == "http://127.0.0.1:4318/v1/traces"
    for wrong in ("127.0.0.1:4318", "grpc://a", "http://a:b@c", "http://a?key=b"):
        with pytest.raises(ImproperlyConfigured, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
            environment.otlp_endpoint(wrong)
    headers = environment.otlp_headers("Authorization=Bearer%20a=b, x-team=shop")
    assert headers == {"authorization": "Bearer a=b", "x-team": "shop"}
    for wrong in ("=hidden", "a b=hidden", "a=hidden%0d%0ab"):
        with pytest.raises(ImproperlyConfigured, match="OTEL_EXPORTER_OTLP_HEADERS") as refused:
            environment.otlp_headers(wrong)
        assert "hidden" not in str(refused.value)
