"""Single calls without a model pass the same gate, and happen once."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from agents.actions import start_run
from agents.decisions import decide
from agents.direct import call_of, call_tool, note_heard
from agents.exceptions import BadInput, WrongState
from agents.models import AgentVersion, Run, ToolCall
from agents.runtime.loop import advance
from approvals.halts import halt, lift_halt
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


class Died(BaseException):
    """The process was killed."""


@pytest.mark.parametrize(
    ("at", "tool", "arguments", "status"),
    [
        ("agents.runtime.loop.go_on", "pay", {"account": "acme", "amount": 5}, "waiting_approval"),
        ("agents.runtime.judging.carry_out", "get_balance", {"account": "acme"}, "completed"),
        ("agents.runtime.ending.remembering.to_keep", "get_balance", {"account": "acme"}, "completed"),
    ],
)
def test_a_call_whose_process_died_is_found_by_a_worker(
    version: AgentVersion, at: str, tool: str, arguments: dict[str, Any], status: str
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(at, die)
        killed.setattr("agents.runtime.loop.write", lambda run: None)  # nobody is left who could
        killed.setattr("agents.runtime.leases.give_back", lambda run: None)
        with pytest.raises(Died):
            call(version, tool, **arguments)
    run = Run.objects.get()
    assert run.status == "running"
    Run.objects.update(lease_until=run.created_at)

    advance(run.pk)

    assert Run.objects.get().status == status
    assert ToolCall.objects.count() == 1


def test_a_read_is_stored_before_code_of_its_author_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    version = world.publish_gateway(
        tools=[{"python": "tests.drifting.quote_rate"}], policy=[{"tool": "quote_rate", "then": "require"}]
    )

    def die(*_: Any) -> None:
        raise Died

    monkeypatch.setattr("agents.runtime.requesting.fingerprint", die)
    monkeypatch.setattr("agents.runtime.loop.write", lambda run: None)  # nobody is left who could
    with pytest.raises(Died):
        call(version, "quote_rate", account="acme")
    assert Run.objects.get().status == "running"


def test_a_read_that_a_stop_forbids_is_kept_and_waits(version: AgentVersion) -> None:
    halt(actor=world.operator(), now=timezone.now(), agent="door", reason="Odd things.")
    run = call(version, "get_balance", account="acme")
    assert (run.status, call_of(run).status) == ("waiting_retry", "proposed")
    assert "Odd things." in Run.objects.get(pk=run.pk).reason
    assert list(Event.objects.filter(run_id=run.pk).values_list("name", flat=True)) == [
        "run.started",
        "run.frozen",
    ]

    lift_halt(actor=world.operator("ben"), now=timezone.now(), agent="door")
    Run.objects.update(wake_at=run.created_at)
    advance(run.pk)
    assert Run.objects.get(pk=run.pk).status == "completed"


def test_a_read_that_is_denied_is_written_at_once_with_its_end() -> None:
    version = world.publish_gateway("shut", policy=[{"then": "deny"}])
    run = call(version, "get_balance", account="acme")
    assert call_of(run).status == "denied"
    root = Span.objects.get(run_id=run.pk, operation="invoke_agent")
    assert root.ended_at is not None
    assert root.attributes["gatehouse.run.status"] == Run.objects.get(pk=run.pk).status


def test_the_same_call_asked_for_many_times_at_once_is_one(version: AgentVersion) -> None:
    world.operator("robot")
    acts = [lambda: call(version, "pay", account="acme", amount=5).pk] * 6

    assert len(set(at_once(*acts))) == 1
    assert Approval.objects.count() == 1


def test_a_name_longer_than_any_tool_has_is_refused(version: AgentVersion) -> None:
    assert call_of(call(version, "x" * 5000)).status == "refused"
