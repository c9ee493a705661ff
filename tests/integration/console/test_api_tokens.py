"""What a token may do: its scopes, its end, how often it may come, and whom it stands for."""

import io
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from agents.valkey import valkey
from console.api.service import api
from console.models import ApiToken
from console.people.tokens import SCOPES, BadToken, agent_of, make_token, scopes_of, token_row
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.req("OPS-3", "APR-10")]
ANY = "01900000-0000-7000-8000-000000000000"
REFUND = {"tool": "issue_refund", "arguments": {"order": "A-1"}}

# What one call of each scope answers to a token that has it.
NEEDS: dict[str, Callable[[Caller], Any]] = {
    "read": lambda caller: caller.get("/runs"),
    "run": lambda caller: caller.post(f"/runs/{ANY}/pause"),
    "ask": lambda caller: caller.post("/approvals", REFUND),
    "manage": lambda caller: caller.delete("/halt"),
}
REFUSED = "urn:gatehouse:problem:missing_scope"


@pytest.mark.parametrize("scope", ["read", "run", "ask", "decide", "mcp", "manage"])
def test_a_token_with_scopes_may_do_those_and_no_others(scope: str) -> None:
    caller = Caller("ada", "admin", scope)
    for needed, call in NEEDS.items():
        problem = call(caller)
        allowed = needed == scope or scope == "decide"  # which adds, and takes nothing away
        assert (caller.status == 403) != allowed, (needed, problem)
        if not allowed:
            assert (problem["type"], problem["scope"]) == (REFUSED, needed)
            assert repr(needed) in problem["detail"]


@pytest.mark.parametrize("scopes", [(), ("decide",)])
def test_a_token_without_scopes_may_do_what_its_role_may(scopes: tuple[str, ...]) -> None:
    caller = Caller("ada", "admin", *scopes)
    for call in NEEDS.values():
        call(caller)
        assert caller.status != 403
    assert set(caller.get("/me")["scopes"]) == set(SCOPES) - ({"decide"} - set(scopes))


def test_every_operation_but_those_about_oneself_and_deciding_needs_a_scope() -> None:
    caller, free = Caller("ada", "admin", "mcp"), set()
    for path, methods in api.get_openapi_schema()["paths"].items():
        for method, operation in methods.items():
            filled = re.sub(r"\{\w+\}", ANY, path)
            if REFUSED not in getattr(caller.client, method)(filled).content.decode():
                free.add(operation["operationId"])
            ApiToken.objects.update(revoked_at=None)
    assert free == {"decide", "decide_several", "get_me", "reopen_approval", "revoke_my_token"}


def test_a_scope_gives_nothing_that_the_role_does_not() -> None:
    amir = Caller("amir", "analyst", *sorted(set(SCOPES) - {"decide"}))
    amir.post("/approvals", REFUND)
    assert (amir.status, amir.body["type"]) == (403, "urn:gatehouse:problem:not_allowed")
    amir.post("/halt")
    assert amir.status == 403


def test_deciding_needs_its_scope_whatever_else_a_token_has() -> None:
    asked = Caller("shop", "service").post("/approvals", REFUND)
    word = {"decision": "approve", "digest": asked["digest"]}
    lacks = Caller("ana", "operator", "read", "manage")
    lacks.post(f"/approvals/{asked['id']}/decision", word)
    assert (lacks.status, "'decide'" in lacks.body["detail"]) == (403, True)
    has = Caller("ana", "operator", "decide", "read")
    assert has.post(f"/approvals/{asked['id']}/decision", word)["status"] == "approved"
    has.post(f"/runs/{ANY}/pause")
    assert has.body["type"] == REFUSED


def test_who_am_i() -> None:
    world.publish_agent("clerk")
    caller = Caller("shop", "service", "ask", "read", agent="clerk", lasts=timedelta(days=90))
    me = caller.get("/me")
    expires = me.pop("expires_at")
    assert me == {
        "user": "shop",
        "role": "service",
        "scopes": ["read", "ask"],
        "token": caller.token[:10],
        "agent": "clerk",
        "rate_limit": 600,
    }
    assert expires.startswith(f"{timezone.now() + timedelta(days=90):%Y-%m-%d}")


def test_a_token_ends_by_itself() -> None:
    caller = Caller("ana", "operator", lasts=timedelta(hours=1))
    caller.get("/me")
    assert caller.status == 200
    ApiToken.objects.update(expires_at=timezone.now())
    caller.get("/me")
    assert (caller.status, "expired" in caller.body["detail"]) == (401, True)


def test_a_token_revokes_itself_and_no_other() -> None:
    caller, other = Caller("ana", "operator", "read"), Caller("ana", "operator")
    caller.delete("/me/token")
    assert caller.status == 204
    caller.get("/me")
    assert caller.status == 401
    other.get("/me")
    assert other.status == 200
    assert Event.objects.get(name="token.revoked").actor == "token:ana"


def test_the_signing_secret_is_for_tokens_that_ask() -> None:
    reader = Caller("shop", "service", "read")
    reader.get("/me/webhook-secret")
    assert (reader.status, reader.body["scope"]) == (403, "ask")
    asker = Caller("shop", "service", "ask")
    secret = asker.get("/me/webhook-secret")["secret"]
    assert Caller("shop", "service").get("/me/webhook-secret")["secret"] == secret
    assert Caller("crm", "service").get("/me/webhook-secret")["secret"] != secret


class TestCommand:
    def create(self, *arguments: str) -> ApiToken:
        out = io.StringIO()
        call_command("token", "create", *arguments, stdout=out)
        row = token_row(out.getvalue().strip(), now=timezone.now())
        assert row is not None
        return row

    def test_makes_a_token_that_may_do_less_for_a_while_and_for_an_agent(self, capsys: Any) -> None:
        world.publish_agent("clerk")
        row = self.create(
            *("--user", "shop", "--role", "service", "--scope", "ask", "--scope", "mcp"),
            *("--agent", "clerk", "--expires", "90d"),
        )
        assert (scopes_of(row), agent_of(row)) == (["ask", "mcp"], "clerk")
        assert row.expires_at is not None
        assert abs(row.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)
        call_command("token", "list")
        listed = capsys.readouterr().out
        assert "ask,mcp" in listed
        assert f"good until {row.expires_at:%Y-%m-%d %H:%M} UTC" in listed

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("--agent", "nobody"), "There is no agent 'nobody'. Agents: clerk."),
            (("--expires", "soon"), "is no duration"),
            (("--expires", "0d"), "greater than 0"),
            (("--scope", "everything"), "invalid choice"),
        ],
    )
    def test_refuses_what_no_token_can_be(self, arguments: tuple[str, ...], why: str) -> None:
        world.publish_agent("clerk")
        with pytest.raises(CommandError, match=why):
            self.create("--user", "shop", "--role", "service", *arguments)
        assert not ApiToken.objects.exists()

    def test_a_person_stands_for_no_agent(self) -> None:
        world.publish_agent("clerk")
        ana = world.person("ana", "operator")
        with pytest.raises(BadToken, match="service"):
            make_token(user=ana, role="operator", agent="clerk", now=timezone.now())


class TestRates:
    @pytest.fixture(autouse=True)
    def few(self, settings: Any) -> Iterator[None]:
        settings.API_RATE = 3
        yield
        for key in valkey().scan_iter("gatehouse:api:*"):
            valkey().delete(key)

    def test_a_token_may_come_so_often_within_a_minute(self) -> None:
        caller, other = Caller("ana", "operator"), Caller("ana", "operator")
        for left in (2, 1, 0):
            caller.get("/runs")
            assert caller.status == 200
            assert caller.headers["RateLimit-Limit"] == "3"
            assert caller.headers["RateLimit-Remaining"] == str(left)
            assert 1 <= int(caller.headers["RateLimit-Reset"]) <= 60
        caller.get("/runs")
        assert (caller.status, caller.body["type"]) == (429, "urn:gatehouse:problem:rate_limited")
        assert caller.headers["Retry-After"] == caller.headers["RateLimit-Reset"]
        assert caller.headers["RateLimit-Remaining"] == "0"
        other.get("/runs")
        assert other.status == 200
        row = token_row(caller.token, now=timezone.now())
        assert row is not None
        valkey().delete(f"gatehouse:api:{row.pk}")  # as its minute ends
        caller.get("/runs")
        assert caller.status == 200

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("get", "/runs", 200),
            ("get", f"/runs/{ANY}", 404),
            ("get", "/runs/nothing", 422),
            ("post", f"/runs/{ANY}/pause", 404),
            ("post", "/halt", 403),
            ("delete", "/me/token", 204),
        ],
    )
    def test_every_answer_tells_of_it(self, method: str, path: str, status: int) -> None:
        caller = Caller("shop", "service")
        getattr(caller, method)(path)
        assert (caller.status, caller.headers["RateLimit-Remaining"]) == (status, "2")

    def test_strangers_are_told_nothing(self, client: Client) -> None:
        assert "RateLimit-Limit" not in client.get("/api/v1/runs").headers

    def test_a_long_poll_counts_once(self) -> None:
        shop = Caller("shop", "service")
        asked = shop.post("/approvals", REFUND)
        shop.get(f"/approvals/{asked['id']}", wait=0.3)
        assert shop.headers["RateLimit-Remaining"] == "1"

    def test_all_are_let_in_while_nobody_can_count(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.VALKEY_URL = "unix:///tmp/no-such-valkey.sock"
        away = valkey.__wrapped__()
        monkeypatch.setattr("console.api.rates.valkey", lambda: away)
        caller = Caller("ana", "operator")
        for _ in range(5):
            caller.get("/runs")
            assert caller.status == 200
        assert "RateLimit-Limit" not in caller.headers
