"""A run from start to end, with the real loop, a scripted model, and assertions on what was recorded."""

from typing import Any

import pytest
from django.utils import timezone

from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.exceptions import BadInput, UnknownAgent, WrongState
from agents.models import AgentVersion, Run
from agents.providers.base import FailureKind, Finish, ModelFailure, ModelResponse, Usage
from agents.providers.scripted import answer, call, say, together
from agents.runtime import claiming, settling
from agents.runtime.recovery import sweep
from agents.runtime.stretch import MAX_ATTEMPTS
from agents.runtime.versions import version_of
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed
from approvals.halts import halt, lift_halt
from tests import tools, world
from tests.integration.agents.conftest import Play
from traces.models import Span

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.req("RUN-2", "RUN-4")
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"turns": 3}, "its 3 turns"),
        ({"tokens": 250}, "its 250 tokens"),
    ],
)
def test_a_limit_ends_the_run_with_what_it_did_so_far(play: Play, limits: dict[str, int], words: str) -> None:
    play([together(say(f"Turn {n}."), call("add_note", text=str(n))) for n in range(9)])
    world.publish_agent(limits=limits, policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    assert run.status == "limit_exceeded"
    assert words in run.reason
    assert run.output.startswith("Turn")
    assert "add_note" in run.summary
    assert run.turns == 3


@pytest.mark.req("RUN-4")
@pytest.mark.parametrize(
    ("observation", "status"),
    [
        ({"verdict": "complete", "confidence": 0.9, "summary": "Paid.", "feedback": ""}, "completed"),
        ({"verdict": "complete", "confidence": 0.5, "summary": "Paid?", "feedback": ""}, "escalated"),
        ({"verdict": "escalate", "confidence": 0.9, "summary": "Fraud.", "feedback": ""}, "escalated"),
    ],
)
def test_plan_execute_observe(play: Play, observation: dict[str, Any], status: str) -> None:
    plan = {
        "goal": "Pay acme",
        "steps": [{"title": "Look", "categories": ["lookup"]}],
        "needs_clarification": None,
    }
    more = {"verdict": "continue", "confidence": 0.2, "summary": "", "feedback": "Look at globex too."}
    model = play(
        [
            answer(plan),
            call("get_balance", account="acme"),
            say("1240."),
            answer(more),
            call("get_balance", account="globex"),
            say("1240 and 80."),
            answer(observation),
        ]
    )
    world.publish_agent(pattern="plan_execute")
    run = world.carry_on(world.start())
    assert run.status == status
    assert (run.output, run.summary, run.confidence) == (
        "1240 and 80.",
        observation["summary"],
        observation["confidence"],
    )
    assert any("Look at globex too." in message.text for message in model.requests[4].messages)
    kinds = list(run.steps.order_by("seq").values_list("kind", flat=True))
    assert kinds == ["plan", "model", "model", "observe", "model", "model", "observe"]
    assert [request.metadata["role"] for request in model.requests].count("executor") == run.turns == 4


@pytest.mark.req("APR-3")
def test_an_ambiguous_task_asks_the_operator(play: Play) -> None:
    unclear = {
        "goal": "?",
        "steps": [{"title": "Ask", "categories": []}],
        "needs_clarification": "Which account?",
    }
    clear = {**unclear, "goal": "Pay acme", "needs_clarification": None}
    done = {"verdict": "complete", "confidence": 1, "summary": "Told.", "feedback": ""}
    model = play([answer(unclear), answer(clear), say("It is acme."), answer(done)])
    world.publish_agent(pattern="plan_execute")
    run = world.carry_on(world.start())
    assert run.status == "waiting_input"
    request = world.pending(run)
    assert (request.kind, request.title) == ("question", "Which account?")
    with pytest.raises(Invalid):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="answer",
            digest=request.digest,
            answer={"reply": "acme"},
        )
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"answer": "acme"},
    )
    run = world.carry_on(run)
    assert run.status == "completed"
    assert "An operator answered: acme" in model.requests[1].messages[0].text


@pytest.mark.req("RUN-1")
def test_a_model_that_fails_is_asked_again_later_and_then_ever_more_rarely(play: Play) -> None:
    failure = ModelFailure(FailureKind.OVERLOADED, "overloaded")
    play([failure, failure, failure, failure])
    world.publish_agent()
    run = world.start()
    for delay in (1, 2, 4):
        run = world.carry_on(run)
        assert run.status == "waiting_retry"
        assert f"again in about {delay} s" in run.reason
        assert run.lease_until is None
        assert world.carry_on(run).fence == run.fence  # not before its time
        Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    run = world.carry_on(run)
    assert run.status == "waiting_retry"
    assert run.reason.startswith(
        "No model can answer (overloaded). The run waits for one, and asks again in about 8"
    )
    assert Span.objects.filter(trace_id=run.trace_id, operation="chat", status="error").count() == 4


@pytest.mark.req("RUN-4")
@pytest.mark.parametrize(
    ("finish", "words"),
    [
        (Finish.REFUSED, "declined"),
        (Finish.LENGTH, "cut off"),
        (Finish.STOP, "empty answer"),
    ],
)
def test_an_answer_that_is_none_escalates(play: Play, finish: Finish, words: str) -> None:
    text = "" if finish == Finish.STOP else "Half an"
    play([ModelResponse(text=text, finish=finish, usage=Usage(), model="scripted")])
    world.publish_agent()
    run = world.carry_on(world.start())
    assert run.status == "escalated"
    assert words in run.reason


@pytest.mark.req("APR-11")
def test_a_halt_freezes_what_was_approved_until_it_is_lifted(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    ana = world.operator()
    decide(approval_id=request.pk, actor=ana, decision="approve", digest=request.digest)
    halt(actor=ana, agent="teller", reason="odd payments", now=timezone.now())
    run = world.carry_on(run)
    assert run.status == "waiting_retry"
    assert "odd payments" in run.reason
    assert "ana" in run.reason
    assert tools.effects() == []
    assert sweep(now=timezone.now()) == 0
    lift_halt(actor=ana, agent="teller", now=timezone.now())
    assert sweep(now=timezone.now()) == 1
    assert world.carry_on(run).status == "completed"
    assert len(tools.effects()) == 1


@pytest.mark.req("APR-11")
@pytest.mark.parametrize("agent", ["", "teller"])
def test_a_stopped_tool_holds_back_its_calls_alone(play: Play, agent: str) -> None:
    play(
        [together(call("pay", account="acme", amount=40), call("add_note", text="We owe it.")), say("Paid.")]
    )
    world.publish_agent(policy=[{"effect": "reversible", "then": "allow"}])
    ana, now = world.operator(), timezone.now()
    halt(actor=ana, agent=agent, tool="pay", reason="odd payments", now=now)
    run = world.carry_on(world.start())
    assert ("add_note", "succeeded") in world.calls(run)
    request = world.pending(run)
    decide(approval_id=request.pk, actor=ana, decision="approve", digest=request.digest)
    run = world.carry_on(run)
    assert (run.status, run.reason) == ("waiting_retry", "An emergency stop holds pay.")
    assert ("pay", "approved") in world.calls(run)
    lift_halt(actor=ana, agent=agent, tool="pay", now=timezone.now())
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    assert world.carry_on(run).status == "completed"
    assert sum("pay" in effect for effect in tools.effects()) == 1


@pytest.mark.req("APR-11")
def test_the_statement_that_claims_sees_a_tool_that_is_stopped_meanwhile(
    play: Play, monkeypatch: Any
) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request, ana = world.pending(run), world.operator()
    decide(approval_id=request.pk, actor=ana, decision="approve", digest=request.digest)
    look = claiming.objection_to

    def press(*arguments: Any) -> Any:
        halt(actor=ana, tool="pay", reason="odd payments", now=timezone.now())
        return look(*arguments)

    monkeypatch.setattr(settling, "objection_to", press)
    run = world.carry_on(run)
    assert run.status == "waiting_retry"
    assert tools.effects() == []


@pytest.mark.req("APR-11")
def test_with_four_eyes_somebody_else_must_lift(settings: Any) -> None:
    settings.FOUR_EYES = True
    ana, ben, now = world.operator("ana"), world.operator("ben"), timezone.now()
    halt(actor=ana, agent="teller", now=now)
    with pytest.raises(NotAllowed, match="somebody else must lift it"):
        lift_halt(actor=ana, agent="teller", now=now)
    lift_halt(actor=ben, agent="teller", now=now)
    halt(actor=ana, now=now)
    settings.SINGLE_OPERATOR = True
    lift_halt(actor=ana, now=now)


@pytest.mark.req("RUN-8")
def test_cancel_ends_a_waiting_run_and_what_it_asked(play: Play) -> None:
    play([call("pay", account="acme", amount=40)])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    cancel_run(run_id=run.pk, actor=world.operator())
    run = world.carry_on(run)
    assert run.status == "cancelled"
    request.refresh_from_db()
    assert request.status == "cancelled"
    assert world.calls(run) == [("pay", "cancelled")]
    with pytest.raises(AlreadyResolved):
        decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)


@pytest.mark.req("RUN-8")
def test_a_run_that_is_to_end_can_be_neither_paused_nor_kept(play: Play) -> None:
    play([call("pay", account="acme", amount=40)])
    world.publish_agent()
    run = world.carry_on(world.start())
    cancel_run(run_id=run.pk, actor=world.operator())
    with pytest.raises(WrongState, match="was cancelled and ends at its next step"):
        pause_run(run_id=run.pk, actor=world.operator())
    assert cancel_run(run_id=run.pk, actor=world.operator()).requested == "cancel"
    assert world.carry_on(run).status == "cancelled"


@pytest.mark.req("RUN-8")
def test_a_paused_run_rests_until_it_is_resumed(play: Play) -> None:
    play([say("Done.")])
    world.publish_agent()
    run = world.start()
    pause_run(run_id=run.pk, actor=world.operator())
    run = world.carry_on(run)
    assert run.status == "paused"
    assert world.carry_on(run).status == "paused"
    assert sweep(now=timezone.now()) == 0
    resume_run(run_id=run.pk, actor=world.operator())
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("AGT-2")
def test_a_run_keeps_the_version_it_began_with(play: Play) -> None:
    play([say("Done.")])
    first = world.publish_agent()
    run = world.start()
    second = world.publish_agent(purpose="Something else.")
    assert (first.number, second.number) == (1, 2)
    assert world.carry_on(run).version_id == first.pk
    assert world.start().version_id == second.pk


@pytest.mark.req("AGT-1")
def test_a_run_whose_tool_is_gone_fails_with_the_reason(play: Play) -> None:
    play([say("Done.")])
    version = world.publish_agent()
    run = world.start()
    config = {**version.config, "tools": [{"python": "tests.tools.gone"}]}
    AgentVersion.objects.filter(pk=version.pk).update(config=config)
    version_of.cache_clear()  # as in the worker that starts with the release in which it is gone
    run = world.carry_on(run)
    assert run.status == "failed"
    assert "tests.tools.gone" in run.reason


@pytest.mark.req("RUN-5")
def test_a_run_that_breaks_every_worker_is_given_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    model = play([say("Done.")] * 99)
    world.publish_agent()
    run = world.start()

    def break_down(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr("agents.runtime.turns.write_spans", break_down)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(ZeroDivisionError):
            world.carry_on(run)
    run = world.carry_on(run)
    assert run.status == "failed"
    assert f"{MAX_ATTEMPTS} times in a row" in run.reason
    assert len(model.requests) == MAX_ATTEMPTS  # and not one model call more


@pytest.mark.req("RUN-1")
@pytest.mark.parametrize("text", ["", "   ", "x" * 5001, "x" * 10_000_000])
def test_input_that_can_not_start_a_run_is_refused(text: str) -> None:
    world.publish_agent()
    with pytest.raises(BadInput):
        world.start(input=text)
    assert not Run.objects.exists()


def test_an_unknown_agent_is_refused_with_the_known_ones() -> None:
    world.publish_agent()
    with pytest.raises(UnknownAgent, match="Agents: teller"):
        world.start(agent="tellar")
