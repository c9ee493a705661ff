"""The page of figures: who decided how much and how fast, what waited, and who may see whose."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone

from agents.decisions import decide
from approvals import fatigue
from approvals.access import Actor
from approvals.canaries import plant
from approvals.fatigue import Approver
from approvals.models import Approval, CanaryPlan
from approvals.programs import ask_for_program
from approvals.settling import expire_due
from approvals.viewing import note_view
from tests import world
from tests.history import rewritable
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("TRC-6")]

ANA = world.operator


@pytest.fixture
def desk() -> User:
    return world.person("desk", "service")


def ask(desk: User, tool: str = "refund", *, expires_in: float = 3600) -> Approval:
    return ask_for_program(
        actor=Actor(desk, via="token"),
        tool=tool,
        arguments={"amount": 9, "why": "x" * 400},
        effect="reversible",
        expires_in=expires_in,
        now=timezone.now(),
    )


def say(approval: Approval, decision: str = "approve", name: str = "ana", **values: Any) -> None:
    decide(approval_id=approval.pk, actor=ANA(name), decision=decision, digest=approval.digest, **values)


def shown(approval: Approval, name: str, *, seconds: float) -> None:
    """That person opened it so long ago."""
    note_view(approval, actor=ANA(name))
    with rewritable():
        opened = Event.objects.filter(name="approval.viewed", object_id=str(approval.pk))
        opened.update(at=timezone.now() - timedelta(seconds=seconds))


def figures(actor: Actor) -> dict[str, Approver]:
    return {
        each.name: each for each in fatigue.approvers(since=timezone.now() - timedelta(days=1), actor=actor)
    }


def test_figures_count_people_and_keep_planted_tests_apart(client: Client, desk: User) -> None:
    slow, fast, other, edited, escalated, late = (ask(desk) for _ in range(6))
    shown(slow, "ana", seconds=300)
    shown(fast, "ana", seconds=1)
    say(slow)
    say(fast)
    say(other, "reject", reason="No.")
    say(edited, "edit", arguments={"amount": 8, "why": "less"}, name="ben")
    say(escalated, "escalate", name="ben")
    expire_due(now=late.expires_at)
    plan = CanaryPlan.objects.create(
        agent="teller", tool="refund", title="Refund all", arguments={"all": 1}, wrong="All of it."
    )
    say(plant(plan, now=timezone.now()))
    say(plant(plan, now=timezone.now()), "reject", reason="No.", name="ben")

    seen = figures(Actor(world.person("ada", "admin")))
    ana, ben = seen["ana"], seen["ben"]
    assert (ana.said, ana.measured, ana.too_fast, ana.missed, ana.caught) == (3, 2, 1, 1, 0)
    assert ana.approved == pytest.approx(2 / 3)
    assert (ben.said, ben.edits, ben.measured, ben.caught) == (1, 1, 0, 1)
    row = fatigue.waiting(since=timezone.now() - timedelta(days=1))
    # The escalated one was expired too, by the time that was.
    assert [(each.asker, each.tool, each.asked) for each in row] == [("desk", "refund", 6)]
    assert row[0].approved == pytest.approx(3 / 4)
    assert row[0].escalated == pytest.approx(1 / 6)
    assert row[0].expired == pytest.approx(2 / 6)
    assert row[0].p50 is not None
    assert row[0].p95 is not None
    assert row[0].p50 <= row[0].p95

    client.force_login(world.person("ada", "admin"))
    page = " ".join(client.get("/figures").content.decode().split())
    assert "1 s for every 40 characters of title, arguments, preview, task" in page
    assert "<td>1 of 2</td>" in page
    assert "1 missed" in page


def test_others_figures_are_for_the_roles_that_may_see_them(client: Client, desk: User) -> None:
    say(ask(desk))
    say(ask(desk), name="ben")
    assert figures(ANA("ana")).keys() == {"ana"}
    for role in ("admin", "analyst"):
        assert figures(Actor(world.person(role, role))).keys() == {"ana", "ben"}
    with override_settings(FIGURES_FOR=frozenset({"admin"})):
        assert figures(Actor(world.person("analyst", "analyst"))).keys() == set()
        client.force_login(world.person("ben", "operator"))
        page = client.get("/figures?days=30").content.decode()
    assert "Those of others are seen by: admin." in page
    table = page.split('id="approvers-title"')[1].split("</section>")[0]
    assert ">ben<" in table
    assert ">ana<" not in table
    assert client.get("/figures?days=x").status_code == 200
    client.force_login(desk)
    assert client.get("/figures").status_code == 403
