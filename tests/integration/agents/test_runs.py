"""A run from start to end, with the real loop, a scripted model, and assertions on what was recorded."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.exceptions import BadInput, UnknownAgent
from agents.models import AgentVersion, Run, ToolCall
from agents.providers.base import FailureKind, Finish, ModelFailure, ModelResponse, ProposedCall, Usage
from agents.providers.routing import using
from agents.providers.scripted import Script, Scripted, answer, call, say, together
from agents.runtime.judging import MAX_CALLS
from agents.runtime.performing import Attempt, perform
from agents.runtime.recovery import sweep
from agents.runtime.stretch import MAX_ATTEMPTS
from approvals.access import Actor
from approvals.actions import expire_due, halt, lift_halt
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed, Stale
from approvals.models import Approval, Decision
from tests import tools, world
from traces.models import Event, Span
from traces.recorder import write_spans

pytestmark = pytest.mark.django_db(transaction=True)

ASK_FIRST = [{"effect": "irreversible", "then": "require", "expires": "15m"}]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


Play = Callable[[Script], Scripted]


@pytest.fixture
def play() -> Iterator[Play]:
    """Have the model play a script for the rest of the test."""
    with ExitStack() as stack:

        def register(script: Script) -> Scripted:
            provider = Scripted(script)
            stack.enter_context(using(provider))
            return provider

        yield register


@pytest.mark.req("RUN-1", "APR-1", "APR-4", "TOOL-4", "TRC-1")
def test_an_irreversible_call_waits_for_a_person_and_runs_once(play: Play) -> None:
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


@pytest.mark.req("APR-3")
def test_an_edited_call_runs_with_the_edited_arguments_and_the_agent_is_told(play: Play) -> None:
    model = play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)

    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="edit",
        digest=request.digest,
        arguments={"account": "acme", "amount": 25},
    )
    run = world.carry_on(run)

    assert run.status == "completed"
    assert [line.split()[2:] for line in tools.effects()] == [["acme", "25.0"]]
    told = model.requests[-1].messages[-1].text
    assert "An operator changed amount from 40 to 25 before approving." in told
    decision = Decision.objects.get(approval=request)
    assert (decision.verdict, decision.user.username) == ("edit", "ana")
    assert [revision.arguments["amount"] for revision in request.revisions.order_by("number")] == [40, 25]


@pytest.mark.req("APR-3", "APR-4", "TOOL-2")
@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"account": "acme", "amount": -1}, "minimum"),
        ({"account": "acme", "amount": "25"}, "number"),
        ({"account": "umbrella", "amount": 25}, "accounts: acme, globex"),
        ({"account": "acme", "amount": 25, "approved": True}, "approved"),
    ],
)
def test_an_edit_is_validated_like_the_agents_own_call(
    play: Play, arguments: dict[str, Any], complaint: str
) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent()
    request = world.pending(world.carry_on(world.start()))
    with pytest.raises(Invalid, match=complaint):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="edit",
            digest=request.digest,
            arguments=arguments,
        )
    request.refresh_from_db()
    assert (request.status, request.revision) == ("pending", 1)


@pytest.mark.req("APR-5")
def test_an_edit_is_judged_like_the_agents_own_call(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    policy = [{"tool": "pay", "when": "arguments.amount > 100.0", "then": "deny"}]
    world.publish_agent(policy=policy)
    request = world.pending(world.carry_on(world.start()))
    with pytest.raises(Invalid, match="policy denies"):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="edit",
            digest=request.digest,
            arguments={"account": "acme", "amount": 101},
        )


@pytest.mark.req("APR-3")
def test_a_rejected_call_does_not_run_and_is_not_asked_again(play: Play) -> None:
    model = play(
        [
            call("pay", account="acme", amount=40),
            call("pay", account="acme", amount=40),
            say("I could not pay."),
        ]
    )
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="reject",
        digest=request.digest,
        reason="wrong month",
    )
    run = world.carry_on(run)

    assert run.status == "completed"
    assert world.calls(run) == [("pay", "denied"), ("pay", "refused")]
    assert tools.effects() == []
    assert (
        "An operator rejected this call: wrong month. It did not happen."
        in model.requests[1].messages[-1].text
    )


@pytest.mark.req("APR-1")
def test_a_call_that_nobody_decides_expires_and_does_not_run(play: Play) -> None:
    model = play([call("pay", account="acme", amount=40), say("Nobody decided.")])
    world.publish_agent(policy=ASK_FIRST)
    run = world.carry_on(world.start())
    request = world.pending(run)
    assert request.expires_at - request.requested_at == timedelta(minutes=15)

    assert expire_due(now=request.expires_at - timedelta(seconds=1)) == 0
    assert expire_due(now=request.expires_at) == 1
    run = world.carry_on(run)

    assert world.calls(run) == [("pay", "expired")]
    assert tools.effects() == []
    assert "Nobody decided about this call in time" in model.requests[-1].messages[-1].text


@pytest.mark.req("APR-4")
def test_a_decision_after_the_time_limit_is_refused_even_before_the_sweeper_came(play: Play) -> None:
    play([call("pay", account="acme", amount=40)])
    world.publish_agent()
    request = world.pending(world.carry_on(world.start()))
    Approval.objects.filter(pk=request.pk).update(expires_at=timezone.now())
    with pytest.raises(AlreadyResolved, match="time to decide this ended"):
        decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)


@pytest.mark.req("APR-3", "RUN-1")
def test_parallel_calls_are_decided_apart_and_siblings_run_at_once(play: Play) -> None:
    play(
        [
            together(
                call("get_balance", account="acme"),
                call("pay", account="acme", amount=40),
                call("add_note", text="seen"),
                call("pay", account="globex", amount=5),
            ),
            say("Done."),
        ]
    )
    world.publish_agent(policy=[{"tool": "add_note", "then": "allow"}])
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == [
        "succeeded",
        "pending_approval",
        "succeeded",
        "pending_approval",
    ]
    first, second = Approval.objects.filter(run_id=run.pk).order_by("requested_at", "id")
    decide(approval_id=second.pk, actor=world.operator(), decision="approve", digest=second.digest)
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    assert [status for _, status in world.calls(run)][1::2] == ["pending_approval", "succeeded"]
    decide(approval_id=first.pk, actor=world.operator(), decision="reject", digest=first.digest, reason="no")
    run = world.carry_on(run)
    assert run.status == "completed"
    assert [line.split()[0] for line in tools.effects()] == ["add_note", "pay"]


@pytest.mark.req("APR-5")
def test_a_quorum_needs_different_people_and_an_edit_resets_it(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "approvers": 2}])
    run = world.carry_on(world.start())
    request = world.pending(run)
    ana, ben, cleo = (world.operator(name) for name in ("ana", "ben", "cleo"))

    def approve(actor: Actor, digest: str) -> Approval:
        return decide(approval_id=request.pk, actor=actor, decision="approve", digest=digest)

    assert approve(ana, request.digest).status == "pending"
    with pytest.raises(AlreadyResolved, match="1 more must"):
        approve(ana, request.digest)
    arguments = {"account": "acme", "amount": 30}
    edited = decide(
        approval_id=request.pk, actor=ben, decision="edit", digest=request.digest, arguments=arguments
    )
    assert edited.status == "pending"
    with pytest.raises(Stale):
        approve(cleo, request.digest)
    assert approve(cleo, edited.digest).status == "approved"
    assert world.carry_on(run).status == "completed"
    assert [line.split()[3] for line in tools.effects()] == ["30.0"]


@pytest.mark.req("TOOL-2", "TOOL-3")
def test_what_the_model_gets_wrong_is_refused_with_words_it_can_act_on(play: Play) -> None:
    model = play(
        [
            together(
                call("get_balanse", account="acme"),
                call("pay", account="umbrella", amount=1),
                call("pay", account="acme", amount="much"),
                call("pay", account="acme", amount=1, approved=True),
                call("pay", account="acme", amount=2**60),
                _garbled("pay"),
                call("get_balance", account="umbrella"),
            ),
            say("Sorry."),
        ]
    )
    world.publish_agent()
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == ["refused"] * 6 + ["failed"]
    assert not Approval.objects.exists()
    told = [message.text for message in model.requests[-1].messages if message.role == "tool"]
    for text, words in zip(
        told,
        (
            "Did you mean get_balance?",
            "accounts: acme, globex",
            "is not of type 'number'",
            "known: account, amount",
            "2^53",
            "one JSON object",
            "not_found",
        ),
        strict=True,
    ):
        assert words in text


@pytest.mark.req("TOOL-3", "TOOL-4")
def test_an_outcome_that_nobody_knows_goes_to_a_person(play: Play) -> None:
    play([together(call("lose_reply"), call("break_off"), call("fail_cleanly")), say("Done.")])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    assert run.status == "waiting_approval"
    assert [status for _, status in world.calls(run)] == ["unknown", "unknown", "failed"]
    lost, broken = Approval.objects.filter(run_id=run.pk).order_by("requested_at", "id")
    assert lost.kind == broken.kind == "reconcile"
    for request, outcome in ((lost, "happened"), (broken, "give_up")):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="answer",
            digest=request.digest,
            answer={"outcome": outcome, "note": "looked it up"},
        )
    run = world.carry_on(run)
    assert run.status == "completed"
    assert [status for _, status in world.calls(run)] == ["reconciled", "reconciled", "failed"]
    results = ToolCall.objects.filter(run=run).order_by("index").values_list("result__type", flat=True)
    assert list(results) == ["success", "unknown_outcome", "error"]
    assert len(tools.effects()) == 1


@pytest.mark.req("TOOL-4")
def test_a_person_who_says_that_it_did_not_happen_has_it_run_with_the_same_key(play: Play) -> None:
    play([call("lose_reply"), say("Done.")])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"outcome": "not_happened"},
    )
    run = world.carry_on(run)
    assert len(set(tools.effects())) == 1  # the same key
    assert len(tools.effects()) == 2
    assert run.status == "waiting_approval"  # the tool lost its reply again


@pytest.mark.req("TOOL-3")
def test_odd_results_are_stored_as_json(play: Play) -> None:
    play([call("return_oddities"), say("Odd.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    assert run.status == "completed"
    result = ToolCall.objects.get(run=run).result
    assert result is not None
    assert result["data"] == {"nul": "a\ufffdb", "nan": "nan", "set": "{1}", "surrogate": "?"}


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
def test_a_model_that_fails_is_asked_again_later_and_at_last_the_run_fails(play: Play) -> None:
    failure = ModelFailure(FailureKind.OVERLOADED, "overloaded")
    play([failure, failure, failure, failure])
    world.publish_agent()
    run = world.start()
    for delay in (1, 2, 4):
        run = world.carry_on(run)
        assert run.status == "waiting_retry"
        assert f"again in {delay} s" in run.reason
        assert run.lease_until is None
        assert world.carry_on(run).fence == run.fence  # not before its time
        Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    run = world.carry_on(run)
    assert (run.status, run.reason) == ("failed", "The model failed 4 times in a row: overloaded")
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


@pytest.mark.req("RUN-1")
def test_calls_of_a_turn_that_was_cut_off_are_not_taken(play: Play) -> None:
    cut = call("pay", account="acme", amount=4)
    play([replace(cut, finish=Finish.LENGTH)])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    assert run.status == "escalated"
    assert world.calls(run) == []
    assert tools.effects() == []


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


@pytest.mark.req("APR-4")
def test_a_policy_that_became_stricter_holds_for_what_was_approved(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Not paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    world.publish_agent(policy=[{"tool": "pay", "then": "deny"}])
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "denied")]
    assert tools.effects() == []


@pytest.mark.req("APR-4", "APR-5")
def test_a_policy_that_asks_more_people_now_asks_them(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Paid.")])
    world.publish_agent(policy=[{"tool": "pay", "then": "require"}])
    run = world.carry_on(world.start())
    first = world.pending(run)
    decide(approval_id=first.pk, actor=world.operator(), decision="approve", digest=first.digest)
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "approvers": 2}])
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    second = world.pending(run)
    assert (second.pk != first.pk, second.approvers) == (True, 2)
    assert tools.effects() == []


@pytest.mark.req("APR-4")
def test_an_approval_that_is_too_old_no_longer_holds(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Too late.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    Approval.objects.filter(pk=request.pk).update(resolved_at=timezone.now() - timedelta(hours=2))
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "expired")]
    assert tools.effects() == []


@pytest.mark.req("APR-4")
def test_what_was_tampered_with_after_the_approval_does_not_run(play: Play) -> None:
    play([call("pay", account="acme", amount=40), say("Strange.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    Approval.objects.filter(pk=request.pk).update(arguments={"account": "acme", "amount": 4000})
    run = world.carry_on(run)
    assert world.calls(run) == [("pay", "denied")]
    assert tools.effects() == []


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


@pytest.mark.req("GRD-2", "APR-5")
def test_what_outsiders_wrote_taints_what_is_proposed_after_it(play: Play) -> None:
    play(
        [
            call("pay", account="acme", amount=4),
            call("read_mail"),
            call("pay", account="acme", amount=4.5),
        ]
    )
    world.publish_agent(
        policy=[{"tool": "pay", "when": "arguments.amount <= 50.0 && !tainted", "then": "allow"}]
    )
    run = world.carry_on(world.start(trusted_input=True))
    assert world.calls(run) == [("pay", "succeeded"), ("read_mail", "succeeded"), ("pay", "pending_approval")]
    assert world.pending(run).taint_sources == ["tool:read_mail"]


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

    monkeypatch.setattr("agents.runtime.thinking.write_spans", break_down)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(ZeroDivisionError):
            world.carry_on(run)
    run = world.carry_on(run)
    assert run.status == "failed"
    assert f"{MAX_ATTEMPTS} times in a row" in run.reason
    assert len(model.requests) == MAX_ATTEMPTS  # and not one model call more


@pytest.mark.req("RUN-5", "TOOL-4")
def test_a_call_in_doubt_is_settled_before_a_broken_run_ends(play: Play) -> None:
    play([call("lose_reply")])
    version = world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    config = {**version.config, "tools": [{"python": "tests.tools.gone"}]}
    AgentVersion.objects.filter(pk=version.pk).update(config=config)
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"outcome": "happened"},
    )
    run = world.carry_on(run)
    assert run.status == "failed"
    assert world.calls(run) == [("lose_reply", "reconciled")]


@pytest.mark.req("TOOL-2")
def test_arguments_beyond_all_bounds_are_not_kept(play: Play) -> None:
    model = play([call("add_note", text="x" * 1_000_000), say("Too long.")])
    world.publish_agent(limits={"tokens": 1_000_000})
    run = world.carry_on(world.start())
    assert world.calls(run) == [("add_note", "refused")]
    assert "at most 100,000 characters" in model.requests[-1].messages[-1].text
    assert len(str(ToolCall.objects.get(run=run).proposed_arguments)) <= 1000


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


@pytest.mark.req("APR-4", "APR-5")
def test_an_edit_into_an_admins_range_needs_an_admin(play: Play) -> None:
    play([call("pay", account="acme", amount=20), say("Paid.")])
    policy = [{"tool": "pay", "when": "arguments.amount > 100.0", "then": "require", "role": "admin"}]
    world.publish_agent(policy=policy)
    run = world.carry_on(world.start())
    request = world.pending(run)
    arguments = {"account": "acme", "amount": 400}

    def edit(actor: Actor) -> Approval:
        return decide(
            approval_id=request.pk, actor=actor, decision="edit", digest=request.digest, arguments=arguments
        )

    with pytest.raises(NotAllowed, match="admin"):
        edit(world.operator())
    request.refresh_from_db()
    assert (request.revision, request.role, request.arguments["amount"]) == (1, "operator", 20)
    edit(Actor(user=world.person("ada", "admin")))
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("APR-4", "APR-5")
def test_a_policy_that_asks_an_admin_now_is_not_content_with_an_operator(play: Play) -> None:
    play([call("pay", account="acme", amount=30), say("Paid.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    world.publish_agent(policy=[{"tool": "pay", "then": "require", "role": "admin"}])
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = world.carry_on(run)
    assert tools.effects() == []
    assert (run.status, world.pending(run).role) == ("waiting_approval", "admin")


@pytest.mark.req("APR-4")
def test_approving_with_other_arguments_is_refused(play: Play) -> None:
    play([call("pay", account="acme", amount=30)])
    world.publish_agent()
    request = world.pending(world.carry_on(world.start()))
    with pytest.raises(Invalid, match="decide `edit`"):
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="approve",
            digest=request.digest,
            arguments={"account": "acme", "amount": 99},
        )


@pytest.mark.req("TOOL-4")
@pytest.mark.parametrize("ending", ["cancel", "deny"])
def test_what_may_have_happened_is_never_called_off(
    play: Play, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    play([call("never_answer"), say("Done.")])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.start()
    asked: list[str] = []

    def interfere(*args: Any) -> Attempt:
        attempt = perform(*args)
        if not asked:
            asked.append(ending)
            if ending == "cancel":
                cancel_run(run_id=run.pk, actor=world.operator())
            else:
                world.publish_agent(policy=[{"tool": "never_answer", "then": "deny"}])
        return attempt

    monkeypatch.setattr("agents.runtime.execution.perform", interfere)
    run = world.carry_on(run)
    assert world.calls(run) == [("never_answer", "unknown")]
    assert len(tools.effects()) == 1
    request = world.pending(run)
    assert request.kind == "reconcile"
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"outcome": "happened"},
    )
    run = world.carry_on(run)
    assert run.status == {"cancel": "cancelled", "deny": "completed"}[ending]
    assert world.calls(run) == [("never_answer", "reconciled")]


@pytest.mark.req("RUN-5", "TOOL-4")
def test_a_result_is_kept_through_a_moment_without_the_database(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play([call("pay", account="acme", amount=3), say("Paid.")])
    world.publish_agent(policy=[{"then": "allow"}])
    failures = iter([OperationalError("the connection is lost"), InterfaceError("it is closed")])

    def flaky(*args: Any) -> None:
        if failure := next(failures, None):
            raise failure
        write_spans(*args)

    monkeypatch.setattr("agents.runtime.execution.write_spans", flaky)
    run = world.carry_on(world.start())
    assert run.status == "completed"
    assert world.calls(run) == [("pay", "succeeded")]
    assert len(tools.effects()) == 1


@pytest.mark.req("TOOL-4")
def test_a_tool_with_keys_that_never_answers_is_tried_three_times_with_one_key(play: Play) -> None:
    play([call("never_answer")])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    assert len(tools.effects()) == 3
    assert len(set(tools.effects())) == 1
    assert world.pending(run).kind == "reconcile"


@pytest.mark.req("TOOL-2", "TOOL-8")
def test_bugs_in_checks_and_previews_are_told_and_stop_nothing(play: Play) -> None:
    model = play([together(call("have_broken_check"), call("have_broken_preview")), say("Odd.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == ["refused", "pending_approval"]
    request = world.pending(run)
    assert "dict instead of Preview" in request.preview["error"]
    decide(
        approval_id=request.pk, actor=world.operator(), decision="reject", digest=request.digest, reason="no"
    )
    assert world.carry_on(run).status == "completed"
    assert any("a bug in the check" in message.text for message in model.requests[-1].messages)


@pytest.mark.req("TOOL-4")
def test_a_call_that_the_model_sent_twice_runs_once(play: Play) -> None:
    paid = call("pay", account="acme", amount=3)
    play([together(paid, paid), paid, say("Paid.")])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == ["succeeded", "refused", "refused"]
    assert len(tools.effects()) == 1


@pytest.mark.req("RUN-2")
def test_more_calls_than_a_turn_may_have_are_refused(play: Play) -> None:
    play([together(*(call("add_note", text=str(n)) for n in range(MAX_CALLS + 3))), say("Noted.")])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    statuses = [status for _, status in world.calls(run)]
    assert (statuses.count("succeeded"), statuses.count("refused")) == (MAX_CALLS, 3)


@pytest.mark.req("OPS-4", "TRC-8")
def test_a_secret_in_a_tools_error_is_kept_nowhere(play: Play) -> None:
    model = play([call("leak_key"), say("It failed.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    stored = ToolCall.objects.get(run=run)
    spans = Span.objects.filter(trace_id=run.trace_id).select_related("body")
    everything = [
        stored.result,
        stored.error,
        *(f"{s.preview} {getattr(s, 'body', None) and s.body.output}" for s in spans),
    ]
    assert "sk-proj-abcdefghijklmnop0123" not in str(everything)
    assert "sk-proj" not in model.requests[-1].messages[-1].text


def _garbled(name: str) -> ModelResponse:
    """A call whose arguments are no JSON object."""
    proposed = ProposedCall(id="same", name=name, arguments=None, raw="{'amount': ")
    return ModelResponse(
        text="", finish=Finish.TOOL_CALLS, usage=Usage(), model="scripted", tool_calls=(proposed,)
    )
