"""Grants and rules in the browser: what their pages show, and who may do what there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from agents.models import AgentVersion, Run
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from approvals.holds import release_due
from approvals.models import Approval, Grant
from tests import tools, world
from tests.integration.console.test_inbox import FRAGMENT, browser, send, words

pytestmark = pytest.mark.django_db(transaction=True)

LIMITS = {
    "limit.account": "equal",
    "limit.amount": "at_most",
    "value.amount": "50",
    "uses": "3",
    "seconds": "3600",
}


@pytest.fixture(autouse=True)
def four_eyes(settings: Any) -> None:
    settings.FOUR_EYES = True


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def script() -> Iterator[None]:
    pay = call("pay", account="acme", amount=40)
    with using(Scripted([pay, pay, say("Done.")])):
        yield


@pytest.fixture
def ana() -> Client:
    return browser("ana", "operator")


def asked(**changes: Any) -> tuple[Run, Approval]:
    world.publish_agent(**changes)
    run = world.carry_on(world.start(trusted_input=True))
    return run, world.pending(run)


def rule(place: int, **values: str) -> dict[str, str]:
    row = {"tool": "", "effect": "", "when": "", "then": "require", "approvers": "1", "people": "operator"}
    row |= {"expires": "", "denials": "1", "hold": ""}
    return {f"rule-{place}-{name}": value for name, value in (row | values).items()}


@pytest.mark.req("APR-6")
@pytest.mark.usefixtures("script")
def test_a_grant_is_made_on_a_card_listed_used_and_revoked(ana: Client) -> None:
    _, approval = asked()
    assert "Allow this kind" in words(ana.get(f"/inbox/{approval.pk}"))
    assert 'name="limit.amount"' in words(ana.get(f"/inbox/{approval.pk}/grant"))
    form = LIMITS | {"digest": approval.digest, "budget": "60", "budget_of": "amount", "subject_only": "on"}
    response = ana.post(f"/inbox/{approval.pk}/grant", form, headers=FRAGMENT)
    assert "Calls like this one need no decision for now: amount at most 50, account is acme" in words(
        response
    )
    assert "This request still waits" in words(response)
    assert world.carry_on(world.start(trusted_input=True)).status == "completed"
    page = words(ana.get("/grants"))
    assert "1 of 3" in page
    assert "40 of 60 amount" in page
    assert "given by</th><td>ana" in page
    grant = Grant.objects.get()
    assert browser("amir", "analyst").post(f"/grants/{grant.pk}/revoke").status_code == 403
    assert "/revoke" not in words(browser("amir", "analyst").get("/grants"))
    assert browser("ben", "operator").post(f"/grants/{grant.pk}/revoke").status_code == 302
    assert "revoked</th><td>by ben" in words(ana.get("/grants"))


@pytest.mark.req("APR-6")
@pytest.mark.usefixtures("script")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value.amount": "much"}, "is no number"),
        ({"uses": "0"}, "1 to 10,000 calls"),
        ({"seconds": "99999999"}, "at most 30 days"),
        ({"limit.amount": "like"}, "is no limit"),
        ({"digest": "0" * 64}, "changed since it was shown"),
        ({"budget": "-5", "budget_of": "amount"}, "a number above 0"),
    ],
)
def test_a_grant_that_is_not_filled_in_right_grants_nothing(
    ana: Client, change: dict[str, str], told: str
) -> None:
    _, approval = asked()
    response = ana.post(f"/inbox/{approval.pk}/grant", LIMITS | {"digest": approval.digest} | change)
    assert response.status_code == 422
    assert told in words(response)
    assert not Grant.objects.exists()


@pytest.mark.req("APR-3", "APR-4")
@pytest.mark.usefixtures("script")
def test_a_held_approval_counts_down_and_can_be_recalled(ana: Client) -> None:
    run, approval = asked(policy=[{"tool": "pay", "then": "require", "hold": "30s"}])
    assert "Allow this kind" not in words(ana.get(f"/inbox/{approval.pk}"))
    response = words(send(ana, approval, "approve"))
    assert "Approved, and held until" in response
    assert "Undo: recall it" in response
    card = words(ana.get(f"/inbox/{approval.pk}"))
    assert "then it runs" in card
    assert "Recall it: it must not run" in card
    assert browser("amir", "analyst").post(f"/inbox/{approval.pk}/recall").status_code == 403
    ben = browser("ben", "operator")
    assert "Recalled, it will not run" in words(ben.post(f"/inbox/{approval.pk}/recall", headers=FRAGMENT))
    assert ana.post(f"/inbox/{approval.pk}/recall").status_code == 409
    assert release_due(now=timezone.now()) == 0
    assert world.calls(world.carry_on(run))[0] == ("pay", "denied")
    assert tools.effects() == []


@pytest.mark.req("APR-5")
@pytest.mark.usefixtures("script")
def test_a_card_says_whom_it_lacks_and_that_nobody_is_left(ana: Client) -> None:
    _, approval = asked(policy=[{"tool": "pay", "then": "require", "roles": ["operator", "admin"]}])
    card = words(ana.get(f"/inbox/{approval.pk}"))
    assert (
        "Nobody is left who could approve this: it needs one operator and one admin, and there is ana."
        in card
    )
    assert "It expires at" in card
    world.person("ada", "admin")
    card = words(ana.get(f"/inbox/{approval.pk}"))
    assert "Nobody is left" not in card
    assert "one operator, one admin; different people" in card
    assert "Your yes counts; 1 more must say yes" in words(send(ana, approval, "approve"))


@pytest.mark.req("APR-5")
@pytest.mark.usefixtures("script")
def test_the_inbox_says_that_one_person_runs_it(ana: Client, settings: LazySettings) -> None:
    assert "One person runs this installation" not in words(ana.get("/inbox"))
    settings.SINGLE_OPERATOR = True
    assert "One person runs this installation" in words(ana.get("/inbox"))


@pytest.mark.req("APR-5")
@pytest.mark.usefixtures("script")
def test_an_admin_edits_tries_and_publishes_rules(ana: Client) -> None:
    run, approval = asked()
    send(ana, approval, "approve")
    world.carry_on(run)
    ada = browser("ada", "admin")
    assert "no rule" in words(ana.get("/rules"))
    form = {"rows": "0", "based_on": "1"}
    assert 'name="rule-0-when"' in words(ada.post("/rules/teller", form | {"do": "add"}))
    helper = {"helper-0-about": "arguments.amount", "helper-0-comparison": "<=", "helper-0-value": "50"}
    form = {"rows": "1", "based_on": "1"} | rule(0, tool="pay", then="allow")
    page = words(ada.post("/rules/teller", form | helper | {"do": "condition:0"}))
    assert 'value="arguments.amount &lt;= 50.0"' in page
    form |= {"rule-0-when": "arguments.amount <= 50.0"}
    tried = words(ada.post("/rules/teller", form | {"do": "try"}))
    assert "2 would go otherwise" in tried
    assert "would be <strong>allowed</strong>" in tried
    assert "people approved it" in tried
    assert AgentVersion.objects.count() == 1
    assert ada.post("/rules/teller", form | {"do": "publish"}).status_code == 302
    live = AgentVersion.objects.first()
    assert live is not None
    assert live.config["policy"] == [{"tool": "pay", "when": "arguments.amount <= 50.0", "then": "allow"}]
    assert str(live.published_by) == "ada"
    form |= {"rule-0-when": "", "based_on": "2"}
    refused = ada.post("/rules/teller", form | {"do": "publish"})
    assert refused.status_code == 422
    page = words(refused)
    assert "People would no longer be asked." in page
    confirmed = page.split('name="confirmed" value="')[1].split('"')[0]
    assert ada.post("/rules/teller", form | {"do": "publish", "confirmed": confirmed}).status_code == 302
    assert AgentVersion.objects.count() == 3
    conflict = ada.post("/rules/teller", form | {"do": "publish"})
    assert conflict.status_code == 409
    assert "was published meanwhile" in words(conflict)


@pytest.mark.req("APR-5")
def test_rules_move_go_and_are_refused_where_they_are(ana: Client) -> None:
    world.publish_agent(policy=[{"tool": "pay", "then": "deny"}, {"tool": "add_note", "then": "allow"}])
    ada = browser("ada", "admin")
    form = (
        {"rows": "2", "based_on": "1"}
        | rule(0, tool="pay", then="deny")
        | rule(1, tool="add_note", then="allow")
    )

    def chosen(response: Any) -> list[str]:
        rows = words(response).split('aria-label="Rule ')[1:]
        return [row.split('" selected>')[1].split("<")[0] for row in rows]

    assert chosen(ada.post("/rules/teller", form | {"do": "down:0"})) == ["add_note", "pay"]
    assert chosen(ada.post("/rules/teller", form | {"do": "up:1"})) == ["add_note", "pay"]
    assert chosen(ada.post("/rules/teller", form | {"do": "remove:0"})) == ["add_note"]
    wrong = ada.post("/rules/teller", form | {"rule-1-when": "arguments.amuont > 1", "do": "try"})
    assert wrong.status_code == 422
    assert "amuont" in words(wrong).split('aria-label="Rule 2"')[1]
    assert ada.get("/rules/nobody").status_code == 404
    assert "Publish" not in words(ana.get("/rules/teller"))
    assert ana.post("/rules/teller", form | {"do": "publish"}).status_code == 403
