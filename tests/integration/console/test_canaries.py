"""Planted tests: shown as any request, never run, told at once, and kept out of what is learnt from decisions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from agents import precedents
from agents.decisions import decide
from agents.models import Precedent, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call
from approvals import halts, settling
from approvals.access import Actor
from approvals.attention.escalation import escalate_due
from approvals.attention.models import EscalationStep
from approvals.canaries import commitment, plant, plant_due
from approvals.exceptions import Missing, NotAllowed
from approvals.models import Approval, Canary, CanaryPlan, CanaryResult
from approvals.programs import ask_for_program
from approvals.proposals import proposals
from tests import world
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


def test_its_card_tells_who_asked_and_what_was_decided_before_as_a_real_one_does(
    client: Client, plan: CanaryPlan
) -> None:
    with using(Scripted([call("pay", account="acme", amount=30_000)])):
        world.publish_agent()
        real = world.pending(world.carry_on(world.start()))
    say(real, "reject", reason="Far too much.")
    precedents.keep(real.pk)
    planted = plant(plan, now=timezone.now())
    client.force_login(world.person("ana", "operator"))
    card = client.get(f"/inbox/{planted.pk}").content.decode()
    assert "Far too much." in card
    happened = " ".join(client.get(f"/inbox/{planted.pk}/timeline").content.decode().split())
    assert "<strong>teller</strong> asked" in happened
