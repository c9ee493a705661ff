"""Single calls without a model pass the same gate, and happen once."""

import threading
from typing import Any

import pytest
from django.db import connection

from agents.actions import start_run
from agents.decisions import decide
from agents.direct import call_of, call_tool, note_heard
from agents.exceptions import BadInput, WrongState
from agents.models import AgentVersion, Run, ToolCall
from agents.runtime.loop import advance
from approvals.models import Approval
from tests import world
from tests.racing import at_once
from traces.models import Event, Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-10")]


@pytest.fixture
def version() -> AgentVersion:
    return world.publish_gateway(
        "door",
        policy=[{"tool": "get_balance", "then": "allow"}],
    )


def call(version: AgentVersion, tool: str, key: str = "", **arguments: Any) -> Run:
    actor = world.operator("robot")
    return call_tool(version=version, tool=tool, arguments=arguments, actor=actor, via="mcp", key=key).run


def test_a_read_runs_at_once_and_is_traced(version: AgentVersion) -> None:
    run = call(version, "get_balance", account="acme")

    assert (run.status, call_of(run).status) == ("completed", "succeeded")
    assert Run.objects.get(pk=run.pk).reason == "The call was carried out."
    assert {span.operation for span in Span.objects.filter(run_id=run.pk)} == {"invoke_agent", "execute_tool"}
    assert Event.objects.filter(run_id=run.pk, name="run.started").get().data["tool"] == "get_balance"


def test_an_effect_waits_for_a_person_and_goes_on_in_a_worker(version: AgentVersion, ledger: Any) -> None:
    run = call(version, "pay", account="acme", amount=5)
    assert run.status == "waiting_approval"
    request = world.pending(run)
    assert request.requested_by is not None
    assert request.requested_by.username == "robot"

    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="edit",
        digest=request.digest,
        arguments={"account": "acme", "amount": 4},
    )
    approved = Approval.objects.get(pk=request.pk)
    assert approved.status == "approved"
    run = world.carry_on(run)

    assert run.status == "completed"
    result = call_of(run).result or {}
    assert result["type"] == "success"
    assert "amount from 5 to 4" in result["edited"]


def test_denied_is_cancelled_and_says_why(version: AgentVersion) -> None:
    run = call(version, "pay", account="acme", amount=5)
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="reject",
        digest=request.digest,
        reason="Not theirs",
    )
    run = world.carry_on(run)

    assert run.status == "cancelled"
    assert run.reason == "An operator rejected this call: Not theirs. It did not happen."


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("pya", {}, "Did you mean pay?"),
        ("pay", {"account": "acme"}, "'amount' is a required property"),
        ("fail_cleanly", {}, ""),
    ],
)
def test_what_can_not_run_says_why(
    version: AgentVersion, tool: str, arguments: dict[str, Any], told: str
) -> None:
    run = call(version, tool, **arguments)

    assert run.status in ("failed", "waiting_approval")
    assert told in run.reason


def test_the_same_call_under_way_is_asked_once(version: AgentVersion) -> None:
    first, again = (call(version, "pay", account="acme", amount=5) for _ in range(2))
    other = call(version, "pay", account="acme", amount=6)

    assert first.pk == again.pk != other.pk
    assert Approval.objects.count() == 2


def test_a_result_that_nobody_heard_is_told_again_and_then_it_is_another_call(version: AgentVersion) -> None:
    run = call(version, "pay", account="acme", amount=5)
    world.carry_on_approved(run)

    unheard = call(version, "pay", account="acme", amount=5)
    assert unheard.pk == run.pk
    assert unheard.status == "completed"
    note_heard(unheard)
    assert call(version, "pay", account="acme", amount=5).pk != run.pk


def test_a_key_makes_one_call_of_many(version: AgentVersion) -> None:
    world.operator("robot")
    runs: list[Run] = []

    def ask() -> None:
        try:
            runs.append(call(version, "pay", "order-7", account="acme", amount=5))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(runs) == 6
    assert len({run.pk for run in runs}) == 1
    assert ToolCall.objects.count() == Approval.objects.count() == 1
    with pytest.raises(WrongState, match="order-7"):
        call(version, "pay", "order-7", account="acme", amount=6)


def test_a_gateway_starts_no_runs_of_its_own(version: AgentVersion) -> None:
    with pytest.raises(BadInput, match="asks no model"):
        start_run(agent="door", input="Pay.")


def test_a_call_whose_process_died_is_found_by_a_worker(
    version: AgentVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.runtime.loop.go_on", lambda stretch: None)  # it died right after the commit
    run = call(version, "get_balance", account="acme")
    Run.objects.filter(pk=run.pk).update(lease_until=run.created_at)

    advance(run.pk)

    assert Run.objects.get(pk=run.pk).status == "completed"


def test_the_same_call_asked_for_many_times_at_once_is_one(version: AgentVersion) -> None:
    world.operator("robot")
    acts = [lambda: call(version, "pay", account="acme", amount=5).pk] * 6

    assert len(set(at_once(*acts))) == 1
    assert Approval.objects.count() == 1


def test_a_name_longer_than_any_tool_has_is_refused(version: AgentVersion) -> None:
    assert call_of(call(version, "x" * 5000)).status == "refused"
