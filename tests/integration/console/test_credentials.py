"""Credentials as admins look after them: in Django admin, from a shell, and by the doctor."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents import credentials
from agents.credentials import reveal
from agents.models import AgentVersion, Credential
from agents.tools.results import ToolFailure
from console.callbacks import keys
from console.services.diagnosis import examine
from tests import world
from traces.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.req("OPS-4")]

SECRET = "tok-of-the-shop-1"
FORM = {
    "name": "shop",
    "kind": "bearer",
    "parameter": "",
    "hosts": "api.shop.com, EU.shop.com",
    "secret": SECRET,
}


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(world.person("ada", "admin"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def keep(name: str = "shop", secret: str = SECRET) -> Credential:
    return credentials.keep(
        name=name,
        kind="bearer",
        parameter="",
        hosts=["api.shop.com"],
        secret=secret,
        actor=None,
        now=timezone.now(),
    )


def add(client: Client, **changes: str) -> Any:
    return client.post(reverse("admin:agents_credential_add"), FORM | changes, follow=True)


def change(client: Client, **changes: str) -> Any:
    url = reverse("admin:agents_credential_change", args=[Credential.objects.get().pk])
    return client.post(url, FORM | {"secret": ""} | changes, follow=True)


def put(secret: str, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `credentials set` says, with the secret on standard input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(secret))
    out = io.StringIO()
    call_command("credentials", "set", *arguments, stdout=out)
    return out.getvalue()


def test_an_admin_sets_a_credential_and_never_sees_it(ada: Client) -> None:
    pages = [add(ada), ada.get(reverse("admin:agents_credential_changelist"))]
    row = Credential.objects.get()
    pages.append(ada.get(reverse("admin:agents_credential_change", args=[row.pk])))
    pages.append(ada.get(reverse("admin:agents_credential_history", args=[row.pk])))
    for page in pages:
        assert page.status_code == 200
        assert SECRET not in page.content.decode()
        assert bytes(row.sealed).decode() not in page.content.decode()
    assert (row.hosts, row.changed_by.get_username()) == (["api.shop.com", "eu.shop.com"], "ada")  # type: ignore[union-attr]
    assert reveal("shop", host="api.shop.com").value == SECRET
    assert SECRET.encode() not in bytes(row.sealed)
    event = Event.objects.get(name="credential.created")
    assert event.actor == "user:ada"
    assert SECRET not in str(event.data)


def test_a_secret_is_replaced_or_stays_and_goes_nowhere_else_unknown(ada: Client) -> None:
    add(ada)
    change(ada, hosts="api.shop.com")
    assert reveal("shop", host="api.shop.com").value == SECRET
    refused = change(ada, hosts="evil.com")
    assert "anew" in refused.content.decode()
    with pytest.raises(ToolFailure, match="may not be sent to"):
        reveal("shop", host="evil.com")
    change(ada, hosts="evil.com", secret="another-one")
    assert reveal("shop", host="evil.com").value == "another-one"
    names = Event.objects.filter(name__startswith="credential.").order_by("pk").values_list("name", flat=True)
    assert list(names) == ["credential.created", "credential.changed", "credential.rotated"]


def test_a_mistake_is_told_at_its_field_and_does_not_repeat_the_secret(ada: Client) -> None:
    page = add(ada, hosts="https://api.shop.com/")
    assert "is no host" in page.content.decode()
    assert SECRET not in page.content.decode()
    assert not Credential.objects.exists()


def test_one_that_an_agent_names_is_not_deleted(ada: Client) -> None:
    row = keep()
    tool = {"name": "get_x", "description": "Get x.", "url": "https://api.shop.com/x", "effect": "read"}
    version = world.publish_agent("clerk")
    config = version.config | {"tools": [{"http": tool | {"credential": "shop"}}]}
    AgentVersion.objects.filter(pk=version.pk).update(config=config)
    assert "clerk" in ada.get(reverse("admin:agents_credential_changelist")).content.decode()
    url = reverse("admin:agents_credential_delete", args=[row.pk])
    assert ada.post(url, {"post": "yes"}).status_code == 403
    AgentVersion.objects.filter(pk=version.pk).update(config=config | {"tools": []})
    assert ada.post(url, {"post": "yes"}).status_code == 302
    assert not Credential.objects.exists()
    assert Event.objects.filter(name="credential.removed", actor="user:ada").exists()


@pytest.mark.parametrize("role", ["operator", "analyst"])
def test_credentials_are_for_admins(client: Client, role: str) -> None:
    keep()
    client.force_login(world.person("someone", role), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(reverse("admin:agents_credential_changelist"), follow=True).status_code == 403


def test_a_command_sets_and_lists_them(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert "set" in put(f"{SECRET}\n", "shop", "--host", "api.shop.com", monkeypatch=monkeypatch)
    assert reveal("shop", host="api.shop.com").headers() == {"Authorization": f"Bearer {SECRET}"}
    put("newer", "shop", monkeypatch=monkeypatch)
    assert reveal("shop", host="api.shop.com").value == "newer"
    put("k", "key", "--kind", "header", "--parameter", "X-Key", "--host", "a.com", monkeypatch=monkeypatch)
    put("line 1\nline 2\n", "pem", "--kind", "value", monkeypatch=monkeypatch)
    assert reveal("pem").value == "line 1\nline 2"
    call_command("credentials", "list")
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("shop", "api.shop.com", "bearer", "key", "header", "no agent"))
    assert "newer" not in listed
    for arguments in (
        ("Shop", "--host", "a.com"),
        ("other",),
        ("key2", "--kind", "query", "--host", "a.com"),
    ):
        with pytest.raises(CommandError):
            put("x", *arguments, monkeypatch=monkeypatch)
    with pytest.raises(CommandError, match="empty"):
        put("", "shop", monkeypatch=monkeypatch)


def test_all_secrets_move_to_the_newest_key(settings: Any, capsys: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "k" * 50, []
    keep()
    ana = world.person("ana", "operator")
    signing = keys.current_secret(ana, now=timezone.now())
    settings.SECRET_KEY = "n" * 50
    assert "can't be read: credential shop, signing key of ana" in doctors_word()
    with pytest.raises(CommandError, match="Nobody can read shop, the signing key of ana"):
        call_command("credentials", "rotate-key")
    settings.SECRET_KEY_FALLBACKS = ["k" * 50]
    assert "2 sealed, 2 with an older key: run" in doctors_word()
    call_command("credentials", "rotate-key")
    assert "1 credentials and 1 signing keys" in capsys.readouterr().out
    settings.SECRET_KEY_FALLBACKS = []
    assert reveal("shop", host="api.shop.com").value == SECRET
    assert keys.current_secret(ana, now=timezone.now()) == signing
    assert doctors_word() == "2 sealed"


def doctors_word() -> str:
    (finding,) = (finding for finding in examine() if finding.subject == "credentials and signing keys")
    assert bool(finding.to_do) == ("can't" in finding.found)
    return finding.found
