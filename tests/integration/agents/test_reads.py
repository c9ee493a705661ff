"""Reads beside a call (checks, dry runs, fingerprints, lookups) pass the gate like any call, and are seen."""

from typing import Any

import pytest
from django.utils import timezone

from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.providers.scripted import call, say
from agents.reconciling import look_up
from agents.runtime import reads
from agents.runtime.reads import asking_context
from agents.tools.asking import NotMade, Purpose, Why
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.access import Actor
from approvals.halts import halt, lift_halt
from approvals.models import Approval, Halt
from tests import tools, world
from tests.integration.agents.conftest import Play
from tests.racing import at_once
from traces.models import Event, Span
from traces.queries.totals import totals

pytestmark = pytest.mark.django_db(transaction=True)

GRANTED = [{"python": f"tests.asked.{name}"} for name in ("settle", "find_account", "quote", "rate", "entry")]
SETTLE = call("settle_account", account="acme")


def proposed(play: Play, *turns: Any, policy: Any = ()) -> Run:
    """A run that proposes to settle an account."""
    play([*(turns or (SETTLE,)), say("Done.")])
    world.publish_agent(tools=GRANTED, policy=list(policy))
    return world.carry_on(world.start())


def hold(tool: str, how: str) -> str:
    """Have `tool` held from now on; the words that say so."""
    if how == "halt":
        halt(actor=world.operator("otto"), now=timezone.now(), tool=tool, reason="it leaks")
        return f"{tool} is not called while an emergency stop stands: "
    world.publish_agent(tools=GRANTED, policy=[{"tool": tool, "then": how}])
    return {
        "deny": f"The policy denies this call of {tool}: ",
        "require": "The policy has people asked about",
    }[how]


def times(tool: str) -> int:
    return sum(line.split()[0] == tool for line in tools.effects())


def say_yes(request: Approval, actor: Actor) -> None:
    decide(approval_id=request.pk, actor=actor, decision="approve", digest=request.digest)


HOLDS = pytest.mark.parametrize("how", ["deny", "require", "halt"])


@pytest.mark.req("TOOL-8", "TRC-1")
def test_each_read_stands_in_the_trace_and_counts(play: Play) -> None:
    run = proposed(play)
    request = world.pending(run)
    assert request.preview["summary"] == "Leaves nothing on acme."
    say_yes(request, world.operator())
    lost = world.pending(world.carry_on(run))
    assert look_up(lost, actor="user:ana").data == {"happened": True}
    made = [("find_account", "check"), ("quote", "preview"), ("rate", "fingerprint"), ("rate", "fingerprint")]
    spans = Span.objects.filter(trace_id=run.trace_id, attributes__has_key="gatehouse.purpose")
    seen = [
        (span.tool, span.attributes["gatehouse.purpose"], span.status)
        for span in spans.order_by("started_at")
    ]
    assert seen == [(*each, "ok") for each in [*made, ("entry", "lookup")]]
    assert totals([run.trace_id])[run.trace_id].tool_calls == 6  # with the call itself
    events = Event.objects.filter(name="tool_call.read_beside", run_id=run.pk).order_by("pk")
    assert [(event.actor, event.data["tool"]) for event in events] == [
        *(("agent:teller", tool) for tool, _ in made),
        ("user:ana", "entry"),
    ]


@pytest.mark.req("TOOL-2", "APR-1")
@HOLDS
def test_a_check_that_may_not_be_made_lets_nothing_through(play: Play, how: str) -> None:
    play([SETTLE, say("Done.")])
    world.publish_agent(tools=GRANTED)
    words = hold("find_account", how)
    run = world.carry_on(world.start())
    assert world.calls(run) == [("settle_account", "refused")]
    result = ToolCall.objects.get(run=run).result
    assert result is not None
    assert f"'acme' can't be checked: {words}" in result["message"]
    assert not tools.effects()
    span = Span.objects.get(trace_id=run.trace_id, operation="refuse_tool")
    why = {"deny": "denied", "require": "needs_person", "halt": "halted"}[how]
    assert (span.tool, span.error_type, span.attributes["gatehouse.purpose"]) == (
        "find_account",
        why,
        "check",
    )
    assert Event.objects.get(name="tool_call.not_read").data["outcome"] == why


@pytest.mark.req("TOOL-8", "APR-1")
@HOLDS
def test_a_preview_that_may_not_be_made_says_why(play: Play, how: str) -> None:
    play([SETTLE, say("Done.")])
    world.publish_agent(tools=GRANTED)
    words = hold("quote", how)
    request = world.pending(world.carry_on(world.start()))
    assert request.preview["error"].startswith(f"There is no preview: {words}")
    assert times("quote") == 0


@pytest.mark.req("APR-4", "APR-1")
@pytest.mark.parametrize("how", ["deny", "require"])
def test_people_are_asked_again_where_a_fingerprint_may_not_be_read(play: Play, how: str) -> None:
    run = proposed(play)
    words = hold("rate", how)
    say_yes(world.pending(run), world.operator())
    run = world.carry_on(run)
    assert f"settle_account can't tell any more what it rests on: {words}" in world.pending(run).rule
    assert (times("rate"), times("settle")) == (1, 0)


@pytest.mark.req("APR-4", "APR-3")
def test_an_approved_action_waits_while_its_fingerprint_is_halted(play: Play) -> None:
    run = proposed(play)
    hold("rate", "halt")
    say_yes(world.pending(run), world.operator())
    run = world.carry_on(run)
    assert run.status == "waiting_retry"
    assert (times("rate"), times("settle")) == (1, 0)
    lift_halt(actor=world.operator("otto"), now=timezone.now(), tool="rate")
    ToolCall.objects.filter(run=run).update(retry_at=timezone.now())
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    world.carry_on(run)
    assert (times("rate"), times("settle")) == (2, 1)


@pytest.mark.req("APR-1")
@HOLDS
def test_a_lookup_that_may_not_be_made_says_why(play: Play, how: str) -> None:
    run = proposed(play, policy=[{"then": "allow"}])
    words = hold("entry", how)
    found = look_up(world.pending(run))
    assert found.error.startswith(f"It was not asked. {words}")
    assert times("entry") == 0


@pytest.mark.req("APR-3")
def test_a_halt_of_the_agent_holds_its_lookups_too(play: Play) -> None:
    run = proposed(play, policy=[{"then": "allow"}])
    halt(actor=world.operator("otto"), now=timezone.now(), agent="teller", reason="it leaks")
    assert "emergency stop" in look_up(world.pending(run)).error
    assert times("entry") == 0


@pytest.mark.req("APR-11")
def test_a_stop_that_comes_just_before_a_read_is_seen(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped_meanwhile(tool: Tool) -> float:
        if tool.name == "quote":
            hold("quote", "halt")
        return 0

    monkeypatch.setattr(reads, "seconds_until_free", stopped_meanwhile)
    request = world.pending(proposed(play))
    assert request.preview["error"].startswith("There is no preview: quote is not called while an emergency")
    assert times("quote") == 0
    begun = (
        Event.objects.filter(name="tool_call.read_begun").order_by("pk").values_list("data__tool", flat=True)
    )
    assert list(begun) == ["find_account", "rate"]


@pytest.mark.req("APR-11")
def test_a_read_and_a_stop_at_once_one_is_first(play: Play) -> None:
    run = proposed(play)
    call = ToolCall.objects.select_related("run__version__agent").get(run=run)
    rate, otto = tools_of(call.run.version.parsed)["rate"], world.operator("otto")
    context = asking_context(call, agent="teller")
    for _ in range(12):
        before = times("rate")
        seen = Event.objects.latest("pk").pk
        outcome, pressed = at_once(
            lambda: context.ask(rate, {"account": "acme"}, Purpose.FINGERPRINT),
            lambda: halt(actor=otto, now=timezone.now(), agent="teller"),
        )
        lift_halt(actor=otto, now=timezone.now(), agent="teller")
        events = {event.name: event.pk for event in Event.objects.filter(pk__gt=seen)}
        assert isinstance(pressed, Halt)
        if isinstance(outcome, NotMade):
            assert outcome.why is Why.HALTED
            assert ("tool_call.read_begun" in events, times("rate")) == (False, before)
        else:
            assert events["tool_call.read_begun"] < events["halt.pressed"]
            assert times("rate") == before + 1
