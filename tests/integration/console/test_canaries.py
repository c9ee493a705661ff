"""Planted tests: shown as any request, never run, told at once, and kept out of what is learnt from decisions."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from agents import precedents
from agents.decisions import decide
from agents.models import Precedent, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call
from approvals import halts, settling
from approvals.access import Actor, visible_approvals
from approvals.attention.escalation import escalate_due
from approvals.attention.models import EscalationStep
from approvals.canaries import commitment, plant, plant_due
from approvals.denials import reopen, standing_denial
from approvals.exceptions import AlreadyResolved, Missing, NotAllowed
from approvals.models import Approval, Canary, CanaryPlan, CanaryResult, Grant
from approvals.programs import ask_for_program
from approvals.proposals import proposals
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-2")]

FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}
WRONG = "The account does not exist, and the amount is a thousand times what is owed."


@pytest.fixture
def plan() -> CanaryPlan:
    plan = CanaryPlan(
        agent="teller",
        tool="pay",
        title="Pay EUR 40000.00 to nobody",
        arguments={"account": "nobody", "amount": 40_000},
        reason="I was told to.",
        task="Pay EUR 40 to acme.",
        wrong=WRONG,
        enabled=True,
    )
    plan.full_clean()
    plan.save()
    return plan


@pytest.fixture
def planted(plan: CanaryPlan) -> Approval:
    return plant(plan, now=timezone.now())


def say(approval: Approval, decision: str, **values: Any) -> Approval:
    return decide(
        approval_id=approval.pk, actor=world.operator(), decision=decision, digest=approval.digest, **values
    )


@pytest.mark.parametrize(
    ("decision", "values", "result", "status", "words"),
    [
        ("approve", {}, "missed", "approved", "You let it through."),
        ("reject", {"reason": "Nobody is owed that."}, "caught", "denied", "You caught it."),
        ("escalate", {}, "caught", "cancelled", "You caught it."),
        ("edit", {"arguments": {"account": "acme", "amount": 40}}, "changed", "approved", "and so looked"),
    ],
)
def test_who_decided_is_told_at_once_and_the_log_shows_that_it_was_settled_before(
    client: Client,
    planted: Approval,
    decision: str,
    values: dict[str, Any],
    result: str,
    status: str,
    words: str,
) -> None:
    client.force_login(world.person("ana", "operator"))
    before = client.get(f"/inbox/{planted.pk}").content.decode()
    assert "Pay EUR 40000.00 to nobody" in before
    assert not any(word in before.lower() for word in ("canary", "planted", "a thousand times"))
    form: dict[str, Any] = {"decision": decision, "digest": planted.digest, "confirmed": "on"}
    form |= {f"field.{name}": value for name, value in values.get("arguments", {}).items()}
    form |= {"reason": values.get("reason", "")}
    told = client.post(f"/inbox/{planted.pk}/decision", form, headers=FRAGMENT).content.decode()
    assert "This was a test, planted by Gatehouse: there is no call that could have run." in told
    assert WRONG in told
    assert words in told
    canary = Canary.objects.get()
    assert (canary.result, canary.user) == (result, User.objects.get(username="ana"))
    assert Approval.objects.get(pk=planted.pk).status == status
    assert words in client.get(f"/inbox/{planted.pk}").content.decode()
    assert not ToolCall.objects.exists()
    assert Event.objects.get(name="canary.planted").data == {"commitment": commitment(planted, canary.nonce)}
    opened = Event.objects.get(name=f"canary.{result}")
    assert (opened.actor, opened.data["nonce"]) == ("user:ana", canary.nonce)


def test_the_database_refuses_whatever_could_make_one_run(planted: Approval, plan: CanaryPlan) -> None:
    with using(Scripted([call("pay", account="acme", amount=1)])):
        world.publish_agent()
        run = world.carry_on(world.start())
    real, shop = world.pending(run), world.person("shop", "service")
    mine = ToolCall.objects.filter(run=run)

    def refused(change: Callable[[], Any]) -> None:
        with pytest.raises(IntegrityError, match="canary"), transaction.atomic():
            change()

    row = Approval.objects.filter(pk=planted.pk)
    refused(lambda: row.update(run_id=run.pk))
    refused(lambda: row.update(call_id=mine.get().pk))
    refused(lambda: row.update(requested_by=shop))
    refused(lambda: row.update(callback_url="https://example.com"))
    refused(lambda: mine.update(approval=planted))
    refused(lambda: Canary.objects.filter(pk=planted.pk).update(approval=real))
    asked = ask_for_program(
        actor=Actor(shop),
        tool="pay",
        arguments=planted.arguments,
        effect="irreversible",
        expires_in=60,
        now=timezone.now(),
    )
    values: dict[str, Any] = {"wrong": "", "nonce": "", "planted_at": timezone.now()}
    refused(lambda: Canary.objects.create(approval=real, **values))
    refused(lambda: Canary.objects.create(approval=asked, **values))
    # Nor can a program take hold of one: it neither sees nor withdraws it.
    with pytest.raises(Missing):
        settling.withdraw(planted.pk, actor=Actor(shop), now=timezone.now())
    with pytest.raises(NotAllowed):
        settling.withdraw(planted.pk, actor=world.operator(), now=timezone.now())


def test_nothing_is_learnt_from_one(planted: Approval, plan: CanaryPlan) -> None:
    say(planted, "approve")
    precedents.keep(planted.pk)
    precedents.keep_due(now=timezone.now())
    assert not Precedent.objects.exists()
    for _ in range(12):
        say(plant(plan, now=timezone.now()), "approve")
    assert proposals(now=timezone.now()) == []
    # The same action for real is judged as if it had never been there.
    say(plant(plan, now=timezone.now()), "reject", reason="No.")
    world.publish_agent()
    with using(Scripted([call("pay", account="acme", amount=2)])):
        approval = world.pending(world.carry_on(world.start()))
    assert precedents.precedents_of(approval, actor=world.operator()).count == 0


def test_one_expires_without_harm_and_calls_nobody_out(planted: Approval) -> None:
    world.person("boss", "admin")
    EscalationStep.objects.create(position=1, minutes=5, role="admin")
    assert escalate_due(now=planted.requested_at + timedelta(minutes=60)) == 0
    settling.expire_due(now=planted.expires_at)
    canary = Canary.objects.get()
    assert (canary.result, canary.user) == (CanaryResult.EXPIRED, None)
    assert Approval.objects.get().status == "expired"


def test_they_come_at_random_times_one_after_the_other_and_only_where_they_are_switched_on(
    plan: CanaryPlan,
) -> None:
    now = timezone.now()
    assert plant_due(now=now) == [], "the first comes at a random time too"
    plan.refresh_from_db()
    assert plan.next_at is not None
    assert now <= plan.next_at <= now + timedelta(days=plan.days)
    halts.halt(actor=world.operator(), now=now, agent="teller", reason="Smoke.")
    assert plant_due(now=plan.next_at) == []
    halts.lift_halt(actor=world.operator(), now=now, agent="teller")
    planted = plant_due(now=plan.next_at)
    assert len(planted) == 1
    assert plant_due(now=now + timedelta(days=30)) == [], "while one waits no other comes"
    say(planted[0], "reject", reason="No.")
    CanaryPlan.objects.update(enabled=False)
    assert plant_due(now=now + timedelta(days=60)) == []
    CanaryPlan.objects.update(enabled=True)
    assert len(plant_due(now=now + timedelta(days=60))) == 1


def test_an_admin_plans_them_and_nobody_else(client: Client) -> None:
    assert CanaryPlan().enabled is False
    url = "/admin/approvals/canaryplan/add/"
    form = {
        "agent": "teller",
        "tool": "pay",
        "effect": "irreversible",
        "title": "Pay EUR 40000.00 to nobody",
        "task": "",
        "arguments": "[]",
        "reason": "",
        "wrong": WRONG,
        "days": "7",
        "minutes": "60",
    }
    client.force_login(world.person("ana", "operator"))
    assert client.post(url, form).status_code in (302, 403)
    client.force_login(world.person("ada", "admin"))
    assert "at least one argument" in client.post(url, form).content.decode()
    assert not CanaryPlan.objects.exists()
    form["arguments"] = '{"account": "nobody", "amount": 40000}'
    assert client.post(url, form).status_code == 302
    assert CanaryPlan.objects.get().enabled is False
    event = Event.objects.get(name="canary_plan.added")
    assert event.actor == "user:ada"
    assert "nobody" not in str(event.data)


@pytest.fixture
def real() -> Approval:
    """A real request of the same agent and tool, of a run that read what outsiders wrote."""
    with using(Scripted([call("pay", account="acme", amount=30_000)])):
        world.publish_agent()
        run = world.start(subject={"customer_id": "C-1"})
        return world.pending(world.carry_on(run))


def test_its_card_tells_who_asked_and_what_was_decided_before_as_a_real_one_does(
    client: Client, real: Approval, plan: CanaryPlan
) -> None:
    say(real, "reject", reason="Far too much.")
    precedents.keep(real.pk)
    planted = plant(plan, now=timezone.now())
    client.force_login(world.person("ana", "operator"))
    card = client.get(f"/inbox/{planted.pk}").content.decode()
    assert "Far too much." in card
    happened = " ".join(client.get(f"/inbox/{planted.pk}/timeline").content.decode().split())
    assert "<strong>teller</strong> asked" in happened


def elements(client: Client, approval: Approval) -> str:
    """Tags and fixed words of a card, without what requests may differ in."""
    card = client.get(f"/inbox/{approval.pk}", headers=FRAGMENT).content.decode()
    for value in (str(approval.pk), approval.digest, approval.title):
        card = card.replace(escape(value), "…")
    card = re.sub(r"<(time|pre|blockquote)[^>]*>.*?</\1>", "", card, flags=re.DOTALL)
    card = re.sub(r"<td>[^<]*</td>|name=.csrf[^>]*>|state=[^\"]*", "", card)
    return re.sub(r"\s+", " ", card)


def test_before_it_is_decided_it_is_told_from_a_real_one_neither_by_its_card_nor_by_the_api(
    client: Client, real: Approval, plan: CanaryPlan
) -> None:
    plan.preview, plan.task, plan.reason = real.preview, "", real.reason
    planted = plant(plan, now=timezone.now())
    ana = world.person("ana", "operator")
    client.force_login(ana)
    theirs, its = elements(client, real), elements(client, planted)
    assert its == theirs
    assert f"/runs/{real.run_id}" in its
    assert "Allow this kind" in its
    api = Caller("ana", "operator", "read")
    told = {row.pk: api.get(f"/approvals/{row.pk}") for row in (real, planted)}
    own = ("id", "url", "title", "arguments", "digest", "reason", "requested_at", "expires_at")
    for each in told.values():
        for name in own:
            del each[name]
    assert told[planted.pk] == told[real.pk]
    of_run = api.get("/approvals", run=real.run_id)["items"]
    assert {each["id"] for each in of_run} == {str(real.pk), str(planted.pk)}
    # Where it shows a run, none has it: a program that waits for that run is told of its own requests alone.
    shop = Actor(world.person("shop", "service"))
    assert not visible_approvals(shop).filter(pk=planted.pk).exists()
    say(planted, "reject", reason="Nobody is owed that.")
    after = api.get(f"/approvals/{planted.pk}")
    assert after["run"] is None
    assert "This was a test" in after["canary"]
    assert Approval.objects.get(pk=real.pk).status == "pending"


def test_who_allows_its_kind_lets_it_through_and_allows_nothing(
    client: Client, real: Approval, plan: CanaryPlan
) -> None:
    planted = plant(plan, now=timezone.now())
    client.force_login(world.person("ana", "operator"))
    form: dict[str, Any] = {"digest": planted.digest, "uses": "10", "seconds": "3600"}
    form |= {"limit.account": "any", "limit.amount": "any"}
    bad = client.post(f"/inbox/{planted.pk}/grant", form | {"uses": "0"}, headers=FRAGMENT)
    assert bad.status_code == 422, "what is wrong with it is told as of a real one"
    card = client.post(f"/inbox/{planted.pk}/grant", form, headers=FRAGMENT).content.decode()
    assert "This was a test, planted by Gatehouse" in card
    assert "You let it through." in card
    assert not Grant.objects.exists()
    assert Canary.objects.get().result == CanaryResult.MISSED
    assert Approval.objects.get(pk=planted.pk).status == "cancelled"


def test_what_is_masked_of_the_real_ones_is_masked_of_it(
    client: Client, real: Approval, plan: CanaryPlan
) -> None:
    world.publish_agent(policy=[{"tool": "pay", "then": "mask", "mask": ["account"]}])
    planted = plant(plan, now=timezone.now())
    client.force_login(world.person("ana", "operator"))
    for row in (real, planted):
        card = client.get(f"/inbox/{row.pk}").content.decode()
        assert "Masked by the rule: pay: mask account" in card
        assert "Edit…" not in card
    say(planted, "reject", reason="No.")
    # What it took over of the real one stays masked.
    assert "Masked by the rule" in client.get(f"/inbox/{planted.pk}").content.decode()


def test_a_denied_test_refuses_no_real_call(real: Approval, plan: CanaryPlan) -> None:
    plan.arguments = {"account": "acme", "amount": 30_000}
    planted = plant(plan, now=timezone.now())
    assert planted.digest == real.digest, "it is as like a real one as can be"
    say(planted, "reject", reason="No.")
    assert standing_denial(agent="teller", digest=real.digest, now=timezone.now()) is None
    with pytest.raises(AlreadyResolved, match="Nothing is refused for it"):
        reopen(planted.pk, actor=world.operator(), now=timezone.now())


def test_a_plan_begins_with_what_a_real_request_says(client: Client, real: Approval) -> None:
    client.force_login(world.person("ada", "admin"))
    page = client.get(f"/admin/approvals/approval/{real.pk}/change/").content.decode()
    assert "Plan a planted test like this" in page
    form = client.get(f"/admin/approvals/canaryplan/add/?like={real.pk}").context["adminform"].form
    assert form.initial["arguments"] == {"account": "acme", "amount": 30_000}
    assert (form.initial["agent"], form.initial["title"]) == ("teller", real.title)
    assert client.get("/admin/approvals/canaryplan/add/?like=none").status_code == 200
