"""Budgets of questions: who asks people too much is halted, and begins anew once a person lifts that."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from agents.models import ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from agents.valkey import valkey
from approvals import halts
from approvals.models import Approval, Halt
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-11")]


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    for key in valkey().scan_iter("gatehouse:questions:*"):
        valkey().delete(key)


def pays(*amounts: float) -> Any:
    return together(*(call("pay", account="acme", amount=amount) for amount in amounts))


def test_an_agent_that_floods_is_halted_with_a_reason_and_lifting_begins_the_count_anew(
    client: Client,
) -> None:
    world.publish_agent(limits={"questions_per_hour": 2})
    with using(Scripted([pays(1, 2, 3, 4), say("Done.")])):
        run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == [
        "pending_approval",
        "pending_approval",
        "refused",
        "refused",
    ]
    told = ToolCall.objects.filter(status="refused").first()
    assert told is not None
    assert told.result is not None
    assert told.result["message"] == (
        "Halted, teller: It asked people more than 2 times within an hour. Nobody was asked, and nobody is until"
        " a person lifts it."
    )
    halt = Halt.objects.get()
    assert (halt.agent, halt.by, halt.halted_by) == ("teller", "Gatehouse", None)
    assert Event.objects.get(name="halt.pressed").actor == "system"
    client.force_login(world.person("ana", "operator"))
    assert "By Gatehouse" in client.get("/inbox").content.decode()

    with using(Scripted([pays(5)])):
        other = world.carry_on(world.start())
        assert world.calls(other) == [], "it is frozen before it asks a model"
        client.post("/halt/lift", {"agent": "teller", "tool": ""})
        assert not Halt.objects.filter(lifted_at=None).exists()
        assert [status for _, status in world.calls(world.carry_on(other))] == ["pending_approval"]


def test_without_a_budget_nothing_is_counted() -> None:
    world.publish_agent()
    with using(Scripted([pays(*range(1, 9))])):
        run = world.carry_on(world.start())
    assert {status for _, status in world.calls(run)} == {"pending_approval"}
    assert not list(valkey().scan_iter("gatehouse:questions:*"))


@override_settings(QUESTIONS_PER_HOUR=2)
def test_a_program_that_floods_is_halted_alone(client: Client) -> None:
    shop, desk = Caller("shop", "service"), Caller("desk", "service")
    refund = {"tool": "refund", "arguments": {"amount": 9}, "effect": "reversible"}
    for _ in range(2):
        shop.post("/approvals", refund)
        assert shop.status == 201
    for _ in range(2):
        problem = shop.post("/approvals", refund)
        assert (shop.status, problem["type"]) == (429, "urn:gatehouse:problem:flooded")
        assert "Halted, the program shop: It asked people more than 2 times" in problem["detail"]
    desk.post("/approvals", refund)
    assert desk.status == 201
    assert Approval.objects.count() == 3
    assert str(Halt.objects.get()) == "the program shop"
    client.force_login(world.person("ana", "operator"))
    assert "the program shop is stopped" in client.get("/halt").content.decode()
    halts.lift_halt(actor=world.operator(), now=timezone.now(), agent="program:shop")
    shop.post("/approvals", refund)
    assert shop.status == 201
