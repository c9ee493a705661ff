"""A run from start to end, with the real loop, a scripted model, and assertions on what was recorded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.providers.base import FailureKind, Finish, ModelFailure, ModelResponse, ProposedCall, Usage
from agents.providers.routing import using
from agents.providers.scripted import Script, Scripted, answer, call, say, together
from tests import tools, world
from traces.models import Event, Span

pytestmark = pytest.mark.django_db(transaction=True)

ASK_FIRST = [{"effect": "irreversible", "then": "require", "expires": "15m"}]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def play() -> Iterator[object]:
    """Have the model play a script for the rest of the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda script: stack.enter_context(using(Scripted(script)))


@pytest.mark.req("RUN-1", "APR-1", "APR-4", "TOOL-4", "TRC-1")
def test_an_irreversible_call_waits_for_a_person_and_runs_once(play) -> None:
    play(
        [
            together(say("I look."), call("get_balance", account="acme")),
            together(say("We owe 40."), call("pay", account="acme", amount=40)),
            say("Paid 40 EUR."),
        ]
    )
    world.publish_agent()
    run = world.carry_on(world.start())
    assert run.status == "waiting_approval"
    assert run.lease_until is None
    assert tools.effects() == []
    request = world.pending(run)
    assert request.title == "Pay EUR 40.00 to acme"
    assert request.preview["changes"] == [{"field": "balance", "before": 1240.0, "after": 1200.0}]
    assert request.reason == "We owe 40."
    assert request.rule.startswith("default: one operator")
    assert [item["tool"] for item in request.context["evidence"]] == ["get_balance"]

    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = world.carry_on(run)

    assert (run.status, run.output) == ("completed", "Paid 40 EUR.")
    paid = ToolCall.objects.get(run=run, tool="pay")
    assert tools.effects() == [f"pay {paid.idempotency_key} acme 40.0"]
    operations = list(
        Span.objects.filter(trace_id=run.trace_id).order_by("started_at").values_list("operation", flat=True)
    )
    assert operations.count("chat") == 3
    assert operations.count("execute_tool") == 2
    assert operations.count("approval") == 1
    root = Span.objects.get(pk=run.root_span_id)
    assert root.ended_at is not None
    by = Span.objects.get(trace_id=run.trace_id, operation="approval").attributes[
        "gatehouse.approval.decided_by"
    ]
    assert by == "ana"
    names = list(
        Event.objects.filter(run_id=run.pk, object_id__in=[str(paid.pk), str(request.pk)])
        .order_by("pk")
        .values_list("name", flat=True)
    )
    assert names == [
        "approval.requested",
        "tool_call.pending_approval",
        "approval.approved",
        "tool_call.approved",
        "tool_call.claimed",
        "tool_call.succeeded",
    ]
