"""What becomes of a tool call, whatever the model, the tool and the database do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from agents.actions import cancel_run
from agents.decisions import decide
from agents.models import AgentVersion, ToolCall
from agents.providers.base import Finish, ModelResponse, ProposedCall, Usage
from agents.providers.scripted import call, say, together
from agents.runtime.judging import MAX_CALLS
from agents.runtime.performing import Attempt, perform
from approvals.models import Approval
from tests import tools, world
from tests.integration.agents.conftest import Play
from traces.models import Span
from traces.recorder import write_spans

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.req("TOOL-4", "APR-4")
def test_that_word_counts_from_when_it_was_given_not_from_the_first_approval(play: Play) -> None:
    play([call("lose_reply"), say("Done.")])
    world.publish_agent()
    run = world.carry_on_approved(world.carry_on(world.start()))
    long_ago = timezone.now() - timedelta(hours=3)
    Approval.objects.filter(run_id=run.pk, kind="action").update(resolved_at=long_ago)
    request = world.pending(run)
    answer = {"outcome": "not_happened"}
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer=answer,
    )
    run = world.carry_on(run)
    assert len(tools.effects()) == 2
    assert world.pending(run).kind == "reconcile"  # the tool lost its reply again


@pytest.mark.req("TOOL-3")
def test_odd_results_are_stored_as_json(play: Play) -> None:
    play([call("return_oddities"), say("Odd.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    assert run.status == "completed"
    result = ToolCall.objects.get(run=run).result
    assert result is not None
    assert result["data"] == {"nul": "a\ufffdb", "nan": "nan", "set": "{1}", "surrogate": "?"}


@pytest.mark.req("RUN-1")
def test_calls_of_a_turn_that_was_cut_off_are_not_taken(play: Play) -> None:
    cut = call("pay", account="acme", amount=4)
    play([replace(cut, finish=Finish.LENGTH)])
    world.publish_agent(policy=[{"then": "allow"}])
    run = world.carry_on(world.start())
    assert run.status == "escalated"
    assert world.calls(run) == []
    assert tools.effects() == []


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
