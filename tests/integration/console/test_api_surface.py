"""What holds for the whole API: who gets in, what every error looks like, what is documented."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from console.api.service import api
from console.models import ApiToken
from tests import world
from tests.integration.console.callers import Caller

pytestmark = pytest.mark.django_db
ANY = "01900000-0000-7000-8000-000000000000"
KNOWN = {"trace_id": "0" * 32, "name": "teller"}


def operations() -> list[tuple[str, str]]:
    """Every operation as method and path."""
    return [
        (
            method,
            re.sub(r"\{(\w+)\}", lambda match: KNOWN.get(match[1], ANY), path),
        )
        for path, methods in api.get_openapi_schema()["paths"].items()
        for method in methods
    ]


def test_the_api_has_what_programs_rely_on() -> None:
    expected = {
        ("post", "/api/v1/runs"), ("get", "/api/v1/runs"), ("get", f"/api/v1/runs/{ANY}"),
        ("get", f"/api/v1/runs/{ANY}/steps"), ("get", f"/api/v1/runs/{ANY}/tool-calls"),
        ("post", f"/api/v1/runs/{ANY}/cancel"), ("post", f"/api/v1/runs/{ANY}/pause"),
        ("post", f"/api/v1/runs/{ANY}/resume"), ("post", f"/api/v1/runs/{ANY}/plan"), ("post", "/api/v1/approvals"), ("get", "/api/v1/approvals"),
        ("get", f"/api/v1/approvals/{ANY}"), ("post", f"/api/v1/approvals/{ANY}/decision"), ("post", "/api/v1/approvals/bulk-decision"),
        ("post", f"/api/v1/approvals/{ANY}/withdraw"), ("post", f"/api/v1/approvals/{ANY}/reopen"),
        ("post", "/api/v1/batches"), ("post", "/api/v1/batches/upload"), ("get", "/api/v1/batches"), ("get", f"/api/v1/batches/{ANY}"), ("get", f"/api/v1/batches/{ANY}/results"),
        ("post", f"/api/v1/batches/{ANY}/pause"), ("post", f"/api/v1/batches/{ANY}/resume"), ("post", f"/api/v1/batches/{ANY}/cancel"),
        ("get", "/api/v1/suites"), ("get", "/api/v1/suites/teller"), ("post", "/api/v1/suites/teller/runs"), ("get", f"/api/v1/suites/teller/runs/{ANY}"),
        ("post", "/api/v1/halt"), ("delete", "/api/v1/halt"),
        ("get", "/api/v1/traces"), ("get", f"/api/v1/traces/{'0' * 32}"), ("get", "/api/v1/agents"),
        ("get", "/api/v1/agents/teller"), ("get", "/api/v1/breakers"),
        ("post", f"/api/v1/runs/{ANY}/replay"), ("post", f"/api/v1/runs/{ANY}/fork"),
        ("post", f"/api/v1/runs/{ANY}/guidance"), ("put", "/api/v1/agents/teller"), ("get", "/api/v1/alerts"),
        ("get", "/api/v1/memories"), ("get", f"/api/v1/memories/{ANY}"), ("delete", f"/api/v1/memories/{ANY}"),
        ("get", "/api/v1/deliveries"), ("post", f"/api/v1/deliveries/{ANY}/resend"), ("get", "/api/v1/me"),
        ("delete", "/api/v1/me/token"), ("get", "/api/v1/me/webhook-secret"), ("post", "/api/v1/me/webhook-secret"), ("delete", "/api/v1/breakers/teller"),
    }  # fmt: skip
    assert set(operations()) == expected


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer ", "Bearer gth_wrong", "Basic YTpi", "Bearer \xff", "gth_x"]
)
def test_every_operation_refuses_who_brings_no_good_token(sent: str) -> None:
    client = Client(headers={"authorization": sent} if sent else {})
    for method, path in operations():
        response = getattr(client, method)(path)
        assert response.status_code == 401, (method, path)
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.req("OPS-3")
def test_a_token_stops_when_it_is_revoked_or_its_user_loses_the_role() -> None:
    caller = Caller("ana", "operator")
    caller.get("/runs")
    assert caller.status == 200
    caller.user.groups.clear()
    caller.post("/runs", {"agent": "teller", "input": "Pay."})
    assert caller.status == 403
    User.objects.filter(pk=caller.user.pk).update(is_active=False)
    caller.get("/runs")
    assert caller.status == 401
    User.objects.filter(pk=caller.user.pk).update(is_active=True)
    ApiToken.objects.update(revoked_at=timezone.now())
    caller.get("/runs")
    assert caller.status == 401


@pytest.mark.req("OPS-3")
def test_a_token_is_stored_as_a_hash_and_its_use_is_noted_by_the_minute() -> None:
    caller = Caller("ana", "operator")
    row = ApiToken.objects.get()
    assert caller.token.startswith("gth_")
    assert len(caller.token) == 47
    assert caller.token not in str(ApiToken.objects.values().get())
    assert (row.last_used_at, row.prefix) == (None, caller.token[:10])
    caller.get("/runs")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    caller.get("/runs")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    caller.get("/runs")
    assert ApiToken.objects.filter(last_used_at__gt=first - timedelta(minutes=1)).exists()


@pytest.mark.req("OPS-3")
def test_a_token_has_its_own_role_and_not_all_of_its_users() -> None:
    world.person("ada", "admin", "analyst")
    caller = Caller("ada", "analyst")
    caller.user.groups.add(*world.person("other", "admin").groups.all())
    caller.post("/halt")
    assert caller.status == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/v1/nothing", 404),
        ("get", "/api/v1/", 404),
        ("get", "/api/v2/runs", 404),
        ("get", "/api/v1/runs/not-an-id", 422),
        ("get", f"/api/v1/runs/{ANY}", 404),
        ("post", f"/api/v1/runs/{ANY}/pause", 404),
        ("post", f"/api/v1/runs/{ANY}/cancel", 415),
        ("get", f"/api/v1/approvals/{ANY}", 404),
        ("get", "/api/v1/traces/xyz", 422),
        ("get", f"/api/v1/traces/{'0' * 32}", 404),
        ("get", "/api/v1/agents/nobody", 404),
        ("get", "/api/v1/suites/nothing", 404),
        ("get", "/api/v1/agents/%00", 422),
        ("get", "/api/v1/agents/%FF", 422),
        ("get", "/api/v1/runs?agent=%00", 422),
        ("get", "/api/v1/runs?cursor=%00", 422),
        ("get", "/api/v1/runs?status=%FF", 422),
        ("delete", "/api/v1/halt?agent=%00", 422),
        ("put", "/api/v1/runs", 405),
        ("delete", "/api/v1/runs", 405),
        ("post", "/api/v1/agents", 405),
        ("get", "/api/v1/halt", 405),
    ],
)
def test_every_error_is_a_problem_document(method: str, path: str, status: int) -> None:
    caller = Caller("ana", "operator")
    response = getattr(caller.client, method)(path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert (status == 405) == ("Allow" in response.headers)


def test_a_mistake_of_ours_is_a_problem_that_tells_nothing_inner(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("secret inner words")

    monkeypatch.setattr("console.api.runs.find_runs", fail)
    caller = Caller("ana", "operator")
    caller.get("/runs")
    assert caller.status == 500
    assert "secret" not in str(caller.body)


def test_a_key_that_no_header_should_hold_is_refused() -> None:
    caller = Caller("shop", "service")
    world.publish_agent()
    for key in ("x" * 201, "a b", "a\xff"):
        caller.post("/runs", {"agent": "teller", "input": "Pay."}, key=key)
        assert caller.status == 422


@pytest.mark.req("AGT-2")
def test_agents_are_told_by_their_live_version() -> None:
    world.publish_agent("teller")
    world.publish_agent("clerk", purpose="Files papers.")
    world.publish_agent("clerk", purpose="Files letters.")
    shop, ana = Caller("shop", "service"), Caller("ana", "operator")
    assert {(item["name"], item["version"]) for item in shop.get("/agents")["items"]} == {
        ("teller", 1),
        ("clerk", 2),
    }
    assert shop.get("/agents/clerk")["purpose"] == "Files letters."
    assert shop.body["config"] is None
    assert ana.get("/agents/clerk")["config"]["models"]["executor"]["model"] == "test"
    page = ana.get("/agents", limit=1)
    assert len(ana.get("/agents", limit=1, cursor=page["next"])["items"]) == 1


def test_the_document_tells_of_every_operation_how_it_fails(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["components"]["securitySchemes"]["Token"]["scheme"] == "bearer"
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["security"] == [{"Token": []}]
            problems = [answer for status, answer in operation["responses"].items() if status >= "400"]
            assert len(problems) >= 4, (method, path)
            for answer in problems:
                assert list(answer["content"]) == ["application/problem+json"]
    assert "ProblemOut" in document["components"]["schemas"]


def test_the_page_of_the_document_has_no_script_of_its_own(client: Client) -> None:
    response = client.get("/api/v1/docs")
    assert response.status_code == 200
    page = response.content.decode()
    assert "cdn" not in page
    assert "https://" not in page
    assert "unsafe" not in response.headers["Content-Security-Policy"]
