"""The frame that all pages share: signing in and out, roles, the emergency stop."""

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client

from approvals.models import Halt

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"


def make_person(name: str, *roles: str) -> User:
    user = User.objects.create_user(name, password=PASSWORD)
    user.groups.set(Group.objects.filter(name__in=roles))
    return user


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.mark.req("OPS-3")
def test_every_page_asks_strangers_to_sign_in(client: Client) -> None:
    for path in ("/inbox", "/halt", "/status"):
        response = client.get(path)
        assert (response.status_code, response.headers["Location"]) == (302, f"/sign-in?next={path}")


@pytest.mark.req("OPS-3")
def test_an_open_page_whose_session_ended_goes_to_the_sign_in_page_and_back(client: Client) -> None:
    response = client.get(
        "/status", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/inbox?role=admin"}
    )
    assert response.headers["HX-Redirect"] == "/sign-in?next=%2Finbox%3Frole%3Dadmin"


@pytest.mark.req("OPS-3")
def test_signing_in_leads_where_the_person_wanted_to_go(client: Client) -> None:
    make_person("ana", "operator")
    response = client.post("/sign-in?next=/halt", {"username": "ana", "password": PASSWORD, "next": "/halt"})
    assert response.headers["Location"] == "/halt"
    page = client.get("/halt")
    assert b"operator" in page.content
    assert client.post("/sign-out").headers["Location"] == "/sign-in"
    assert client.get("/halt").status_code == 302


@pytest.mark.req("OPS-3")
def test_signing_in_leads_to_no_other_site(client: Client) -> None:
    make_person("ana", "operator")
    response = client.post(
        "/sign-in", {"username": "ana", "password": PASSWORD, "next": "https://evil.example/inbox"}
    )
    assert response.headers["Location"] == "/"


@pytest.mark.req("OPS-3")
def test_ten_failures_close_the_door_for_that_name_only(client: Client) -> None:
    make_person("ana", "operator")
    make_person("ben", "operator")
    for _ in range(10):
        response = client.post("/sign-in", {"username": "ana", "password": "wrong"})
        assert response.status_code == 422
        assert b"don&#x27;t fit together" in response.content
    response = client.post("/sign-in", {"username": "Ana", "password": PASSWORD})
    assert response.status_code == 429
    assert b"Too many failed attempts" in response.content
    assert client.post("/sign-in", {"username": "ben", "password": PASSWORD}).status_code == 302


@pytest.mark.req("OPS-3")
def test_an_account_without_a_role_is_told_what_to_do(client: Client) -> None:
    client.force_login(make_person("zoe"))
    response = client.get("/inbox")
    assert response.status_code == 403
    assert b"Ask an admin to give you one" in response.content


@pytest.mark.req("OPS-3")
def test_only_an_admin_is_led_to_the_admin(client: Client) -> None:
    client.force_login(make_person("amir", "analyst"))
    assert b'href="/admin/"' not in client.get("/inbox").content
    client.force_login(make_person("ada", "admin"))
    assert b'href="/admin/"' in client.get("/inbox").content


@pytest.mark.req("OPS-3")
def test_a_form_without_its_token_changes_nothing() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_person("ana", "operator"))
    response = client.post("/halt", {"agent": "", "reason": "smoke"})
    assert response.status_code == 403
    assert b"Nothing was changed" in response.content
    assert not Halt.objects.exists()


@pytest.mark.req("OPS-5")
def test_the_emergency_stop_stands_on_every_page_until_it_is_lifted(client: Client) -> None:
    client.force_login(make_person("ana", "operator"))
    response = client.post("/halt", {"agent": "", "reason": "<b>smoke</b>"}, follow=True)
    assert b"All agents are stopped" in response.content
    inbox = client.get("/inbox").content
    assert b"All agents are stopped" in inbox
    assert b"&lt;b&gt;smoke&lt;/b&gt;" in inbox
    client.post("/halt/lift", {"agent": ""})
    assert b"All agents are stopped" not in client.get("/inbox").content
    assert Halt.objects.get().lifted_by is not None


@pytest.mark.req("OPS-5")
def test_an_emergency_stop_needs_a_reason_and_a_role(client: Client) -> None:
    client.force_login(make_person("ana", "operator"))
    assert client.post("/halt", {"agent": "", "reason": ""}).status_code == 422
    client.force_login(make_person("amir", "analyst"))
    assert client.post("/halt", {"agent": "", "reason": "smoke"}).status_code == 403
    assert not Halt.objects.exists()


@pytest.mark.req("OPS-5")
def test_the_emergency_stop_is_at_the_top_of_each_page(client: Client) -> None:
    client.force_login(make_person("ana", "operator"))
    bar = client.get("/runs").content.decode().split("</header>")[0]
    assert 'href="/halt"' in bar.split("<details")[0]
    client.force_login(make_person("amir", "analyst"))
    assert b'href="/halt"' not in client.get("/runs").content


@pytest.mark.req("OPS-5")
def test_the_reason_of_an_emergency_stop_has_a_limit_and_is_kept(client: Client) -> None:
    client.force_login(make_person("ana", "operator"))
    response = client.post("/halt", {"agent": "", "reason": "x" * 2001})
    assert response.status_code == 422
    assert "x" * 2001 in response.content.decode()
    assert not Halt.objects.exists()


@pytest.mark.req("OPS-4")
def test_a_page_runs_no_inline_script_or_style(client: Client) -> None:
    client.force_login(make_person("ana", "operator"))
    response = client.get("/inbox")
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert b" style=" not in response.content
    assert b" onclick=" not in response.content
