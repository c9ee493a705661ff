"""A run is rehearsed: replayed, forked, or made up, with its models asked in earnest and nothing of it in the world."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from agents import brakes
from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.direct import call_tool
from agents.exceptions import BadConfig, BadInput, MissingRun, WrongState
from agents.hidden import hidden_from
from agents.models import Memory, Note, Rehearsal, Run, Step, StoredResult, ToolCall
from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.scripted import answer, call, say, together
from agents.rehearsals import OtherResult, fork_run, rehearse, replay_run
from agents.runtime import execution
from agents.runtime.versions import runnable_version
from agents.steering import guide
from agents.undoing import undo_call, undo_tools
from approvals.access import Actor
from approvals.exceptions import NotAllowed
from approvals.models import Approval
from tests import tools, world
from tests.integration.agents.conftest import Play
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-9")]

PAY: list[Callable[[], ModelResponse]] = [
    lambda: together(say("I look."), call("get_balance", account="acme")),
    lambda: together(say("I pay."), call("pay", account="acme", amount=250.0)),
    lambda: say("Paid 250 EUR to acme."),
]


def script(*parts: Callable[[], ModelResponse]) -> list[ModelResponse]:
    return [part() for part in parts]


def admin() -> Actor:
    return Actor(user=world.person("root", "admin"))


def paid(play: Play, by: Actor | None = None, **edits: Any) -> Run:
    """A run that looked, asked, and paid, once; with `edits` to what was asked."""
    play(script(*PAY))
    run = world.carry_on(world.start())
    request = world.pending(run)
    how: dict[str, Any] = (
        {"decision": "edit", "arguments": {**request.arguments, **edits}}
        if edits
        else {"decision": "approve"}
    )
    decide(approval_id=request.pk, actor=by or world.operator(), digest=request.digest, **how)
    run = world.carry_on(run)
    assert (run.status, len(tools.effects())) == ("completed", 1)
    return run


def results(run: Run) -> list[Any]:
    return list(
        ToolCall.objects.filter(run=run).order_by("step__seq", "index").values_list("result", flat=True)
    )


def made(**values: Any) -> Run:
    """A case of the live agent."""
    given: dict[str, Any] = {
        "input": "Pay what we owe to acme.",
        "actor": world.operator(),
        "now": timezone.now(),
        "kind": "case",
    }
    return rehearse(version=runnable_version("teller"), **given | values)


def test_a_replay_gives_each_call_its_recorded_result_and_asks_nobody(play: Play) -> None:
    world.publish_agent()
    run = paid(play)
    provider = play(script(*PAY))
    replay = world.carry_on(replay_run(run.pk, actor=world.operator()))
    assert (replay.status, replay.output, replay.rehearsal) == ("completed", run.output, True)
    assert results(replay) == results(run)
    assert len(provider.requests) == 3
    assert len(tools.effects()) == 1
    assert not Approval.objects.filter(run_id=replay.pk).exists()
    assert world.calls(replay) == [("get_balance", "succeeded"), ("pay", "succeeded")]
    told = Event.objects.get(name="run.replayed")
    assert (told.run_id, told.actor, told.data["by"]) == (run.pk, "user:ana", str(replay.pk))


def test_what_a_person_changed_or_rejected_is_told_again(play: Play) -> None:
    world.publish_agent()
    run = paid(play, amount=100.0)
    play(script(*PAY))
    replay = world.carry_on(replay_run(run.pk, actor=world.operator()))
    assert results(replay)[1] == {
        "type": "success",
        "data": {"paid": 100.0},
        "edited": "An operator changed amount from 250.0 to 100.0 before approving.",
    }
    play(script(*PAY))
    rejected = world.carry_on(world.start())
    request = world.pending(rejected)
    decide(
        approval_id=request.pk, actor=world.operator(), decision="reject", digest=request.digest, reason="no"
    )
    rejected = world.carry_on(rejected)
    play(script(*PAY))
    replay = world.carry_on(replay_run(rejected.pk, actor=world.operator()))
    assert results(replay)[1] == results(rejected)[1]
    assert results(replay)[1]["type"] == "denied"
    assert len(tools.effects()) == 1


def test_a_call_that_is_not_in_the_recording_is_told_so(play: Play) -> None:
    world.publish_agent(policy=[{"then": "allow"}])
    play(script(*PAY))
    run = world.carry_on(world.start())
    look, pay, end = PAY
    play([look(), call("pay", account="acme", amount=251.0), pay(), pay(), end()])
    replay = world.carry_on(replay_run(run.pk, actor=world.operator()))
    missing = f"This call is not in the recording of run {run.pk}; nothing was done."
    told = results(replay)
    assert [result.get("message", "") for result in told] == ["", missing, "", missing]
    assert len(tools.effects()) == 1


def test_a_large_result_comes_whole(play: Play) -> None:
    world.publish_agent(tools=[{"python": "tests.tools.pull_archive"}])
    play([call("pull_archive"), say("done")])
    run = world.carry_on(world.start())
    play([call("pull_archive"), say("done")])
    replay = world.carry_on(replay_run(run.pk, actor=world.operator()))
    texts = [StoredResult.objects.get(call__run=each).text for each in (run, replay)]
    assert texts[0] == texts[1]
    (first,), (second,) = results(run), results(replay)
    assert {**first, "reference": ""} == {**second, "reference": ""}


def by_balance(request: ModelRequest) -> ModelResponse:
    """A model that pays where the balance allows it."""
    last = request.messages[-1].text
    if '"balance": 12.0' in last:
        return say("They have too little.")
    return call("pay", account="acme", amount=250.0) if '"balance"' in last else say("Paid.")


def test_a_fork_with_another_result_leads_elsewhere(play: Play) -> None:
    world.publish_agent()
    run = paid(play)
    look = ToolCall.objects.get(run=run, tool="get_balance")
    play(by_balance)
    other = OtherResult(look.pk, {"account": "acme", "balance": 12.0})
    fork = world.carry_on(fork_run(run.pk, actor=world.operator(), step=1, result=other))
    assert (fork.status, fork.output) == ("completed", "They have too little.")
    assert world.calls(fork) == [("get_balance", "succeeded")]
    play(by_balance)
    same = world.carry_on(fork_run(run.pk, actor=world.operator(), step=1))
    assert (same.output, results(same)) == ("Paid.", results(run))
    assert len(tools.effects()) == 1
    told = Event.objects.filter(name="run.forked").values_list("data__by", "data__step")
    assert set(told) == {(str(fork.pk), 1), (str(same.pk), 1)}


def test_a_fork_carries_other_instructions_and_another_model(play: Play) -> None:
    version = world.publish_agent()
    run = paid(play)
    provider = play(script(*PAY[1:]))
    fork = fork_run(
        run.pk, actor=world.operator(), step=1, instructions="Be generous.", model="scripted:newer"
    )
    fork = world.carry_on(fork)
    first = provider.requests[0]
    assert (first.model, "Be generous." in first.system, "Look before you pay." in first.system) == (
        "newer",
        True,
        False,
    )
    assert [message.role for message in first.messages] == ["user", "assistant", "tool"]
    assert (fork.status, fork.version) == ("completed", version)
    assert len(tools.effects()) == 1


def test_what_a_fork_does_otherwise_is_withheld_and_read_only_where_that_is_wanted(play: Play) -> None:
    world.publish_agent(policy=[{"tool": "read_mail", "then": "require"}, {"then": "allow"}])
    run = paid_at_once(play)
    otherwise = [
        lambda: call("pay", account="globex", amount=1.0),
        lambda: call("get_balance", account="globex"),
        lambda: call("read_mail"),
        lambda: say("done"),
    ]
    play(script(*otherwise))
    fork = world.carry_on(fork_run(run.pk, actor=world.operator(), step=0))
    effect, read, _ = results(fork)
    assert effect["data"]["withheld"] is True
    assert read["message"].endswith("nothing was read.")
    play(script(*otherwise))
    live = world.carry_on(fork_run(run.pk, actor=world.operator(), step=0, live_reads=True))
    effect, read, mail = results(live)
    assert effect["data"]["withheld"] is True
    assert read["data"] == {"account": "globex", "balance": 80.0}
    assert mail["message"].startswith("Nothing was read: The policy has people asked")
    assert live.status == "completed"
    assert not Approval.objects.exists()
    assert len(tools.effects()) == 1


def paid_at_once(play: Play) -> Run:
    """A run that was allowed to pay, and did."""
    play(script(*PAY))
    return world.carry_on(world.start())


def test_a_case_is_answered_by_its_tools_in_order(play: Play) -> None:
    world.publish_agent()
    play(
        [
            call("get_balance", account="none such"),
            call("get_balance", account="acme"),
            call("get_balance", account="acme"),
            call("pay", account="acme", amount=1.0),
            say("done"),
        ]
    )
    answers = {"get_balance": [{"balance": 1.0}, {"type": "not_found", "message": "There is none."}]}
    case = world.carry_on(made(answers=answers, subject={"customer": "c1"}))
    one, two, three, four = results(case)
    assert one == {"type": "success", "data": {"balance": 1.0}}
    assert two == {"type": "not_found", "message": "There is none."}
    assert three["message"].startswith("This is a rehearsal, and this read has no recorded result")
    assert (four["data"]["withheld"], tools.effects()) == (True, [])
    assert (case.status, case.subject, str(case.started_by)) == ("completed", {"customer": "c1"}, "ana")


def test_no_rule_grant_crash_pause_or_guidance_lets_an_effect_through(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish_agent(policy=[{"then": "allow"}])
    run = paid_at_once(play)
    assert len(tools.effects()) == 1
    play(script(PAY[1], PAY[2]))
    replay = replay_run(run.pk, actor=world.operator())
    pause_run(run_id=replay.pk, actor=world.operator())
    assert world.carry_on(replay).status == "paused"
    resume_run(run_id=replay.pk, actor=world.operator())
    guide(run_id=replay.pk, actor=world.operator(), text="Do pay, in earnest.")

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(execution, "perform", die)
        with pytest.raises(Killed):
            world.carry_on(replay)
    assert world.calls(replay) == [("pay", "executing")]
    replay = world.carry_on(replay)
    assert (replay.status, world.calls(replay)) == ("completed", [("pay", "succeeded")])
    assert len(tools.effects()) == 1
    assert not Approval.objects.exists()
    pay = ToolCall.objects.get(run=replay)
    with pytest.raises(WrongState):
        undo_call(pay.pk, actor=world.operator())


def test_a_rehearsal_without_its_script_does_nothing(play: Play) -> None:
    world.publish_agent(policy=[{"then": "allow"}])
    play([call("pay", account="acme", amount=1.0), say("done")])
    case = made()
    Rehearsal.objects.filter(run=case).delete()
    case = world.carry_on(case)
    assert (case.status, tools.effects()) == ("failed", [])
    assert "nothing says of what" in case.reason


def test_a_run_never_becomes_a_rehearsal_nor_a_rehearsal_a_run(play: Play) -> None:
    world.publish_agent(policy=[{"then": "allow"}])
    play(script(*PAY))
    run = world.carry_on(world.start(metadata={"rehearsal": True}))
    assert (run.rehearsal, len(tools.effects())) == (False, 1)
    case = made()
    for row, value in ((run, True), (case, False)):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            Run.objects.filter(pk=row.pk).update(rehearsal=value)
    cancel_run(run_id=case.pk, actor=world.operator())
    assert world.carry_on(case).status == "cancelled"


def test_a_rehearsal_asks_neither_about_its_plan_nor_what_is_meant(play: Play) -> None:
    plan = {
        "goal": "Pay",
        "steps": [{"title": "Pay", "categories": ["mutation"]}],
        "needs_clarification": None,
    }
    asking = {**plan, "needs_clarification": "Which account?"}
    seen = answer({"verdict": "complete", "confidence": 1.0, "summary": "Paid.", "feedback": ""})
    world.publish_agent(pattern="plan_execute", plan={"approve": True}, memory={"long_term": True})
    play([answer(asking), answer(plan), call("pay", account="acme", amount=1.0), say("Paid."), seen])
    case = world.carry_on(made(subject={"customer": "c1"}))
    assert case.status == "completed", case.reason
    kinds = Step.objects.filter(run=case).values_list("kind", flat=True)
    assert list(kinds) == ["recall", "plan", "answer", "plan", "model", "model", "observe"]
    said = Step.objects.get(run=case, kind="answer").payload
    assert (said["by"], said["text"].startswith("Nobody is asked")) == ("rehearsal", True)
    assert not Approval.objects.exists()
    assert not Memory.objects.exists()


def test_a_fork_has_the_notes_of_its_beginning(play: Play) -> None:
    world.publish_agent(memory={"scratchpad": True})
    play([call("write_note", name="a", text="1"), call("write_note", name="a", text="2"), say("done")])
    run = world.carry_on(world.start())
    play([call("read_notes"), say("done")])
    fork = world.carry_on(fork_run(run.pk, actor=world.operator(), step=1))
    assert results(fork)[1]["data"] == {"notes": [{"name": "a", "text": "1"}]}
    assert Note.objects.get(run=run).text == "2"


def test_rehearsals_do_not_count_where_the_agent_is_judged(play: Play, settings: Any) -> None:
    settings.ESCALATION_RUNS = 1
    world.publish_agent(rates={"agent": 1})
    play([say("")] * 3)
    for _ in range(2):
        assert world.carry_on(made()).status == "escalated"
    assert brakes._escalation(timezone.now()) is None
    world.start()  # within the rate


@pytest.mark.req("ADM-6")
def test_who_may_not_see_all_of_a_run_may_not_rehearse_it_nor_see_it_there(play: Play) -> None:
    mask = {
        "then": "mask",
        "tool": "pay",
        "when": 'effect == "irreversible"',
        "mask": ["account"],
        "seen_by": "admin",
    }
    world.publish_agent(policy=[mask])
    run = paid(play, by=admin(), account="globex")
    with pytest.raises(NotAllowed, match="masked for you"):
        replay_run(run.pk, actor=world.operator())
    with pytest.raises(NotAllowed, match="masked for you"):
        fork_run(run.pk, actor=world.operator(), step=1)
    with pytest.raises(NotAllowed, match="masked for you"):
        made(of=run)
    play([PAY[0](), say("acme and globex")])
    other = world.carry_on(replay_run(run.pk, actor=admin()))
    play(script(*PAY))
    same = world.carry_on(replay_run(run.pk, actor=admin()))
    hidden = hidden_from(world.operator(), [same.pk, other.pk])
    assert hidden[same.pk].scrubber.text("from acme to globex").count("me") == 0
    assert "globex" not in hidden[other.pk].scrubber.text("to globex")


def test_who_may_rehearse_what(play: Play) -> None:
    world.publish_agent()
    run = paid(play)
    with pytest.raises(NotAllowed):
        replay_run(run.pk, actor=Actor(user=world.person("lee", "analyst")))
    with pytest.raises(MissingRun):
        replay_run(run.pk, actor=Actor(user=world.person("shop", "service")))
    with pytest.raises(NotAllowed):
        made(actor=Actor(user=User.objects.create(username="none")))
    assert not Run.objects.filter(rehearsal=True).exists()


def test_what_cannot_be_rehearsed_says_why(play: Play) -> None:
    version = world.publish_agent()
    by = world.operator()
    moving = world.start()
    with pytest.raises(WrongState, match="queued"):
        replay_run(moving.pk, actor=by)
    read = call_tool(version=version, tool="get_balance", arguments={"account": "acme"}, actor=by)
    with pytest.raises(WrongState, match="call without a model"):
        fork_run(read.run_id, actor=by, step=1)
    routes = [{"name": "pay", "when": "money", "agent": "teller"}]
    world.publish_agent("desk", pattern="router", router={"routes": routes, "default": "pay"}, tools=[])
    parts = world.start("desk")
    Run.objects.filter(pk=parts.pk).update(status="cancelled", ended_at=timezone.now())
    with pytest.raises(WrongState, match="runs that have parts"):
        replay_run(parts.pk, actor=by)
    run = paid(play)
    for step, changes, where in (
        (4, {}, "step: the run has steps 1 to 3"),
        (-1, {}, "step: "),
        (3, {}, "step: nothing comes after step 3: The agent gave its answer"),
        (1, {"model": "newer"}, "model: write a model as provider:model"),
        (1, {"model": "nobody:newer"}, "model: "),
        (1, {"instructions": " "}, "instructions: "),
        (1, {"input": " "}, "The input is empty"),
        (1, {"result": OtherResult(run.pk, 1)}, "result.call: no call of steps 1 to 1"),
    ):
        with pytest.raises(BadInput) as refused:
            fork_run(run.pk, actor=by, step=step, **changes)
        assert str(refused.value).startswith(where), (step, changes)
        assert refused.value.errors
    play(script(*PAY))
    waiting = world.carry_on(world.start())
    with pytest.raises(BadInput, match="the calls of step 2 have no results yet; choose a step from 0 to 1"):
        fork_run(waiting.pk, actor=by, step=2)
    play(script(*PAY[1:]))
    fork = world.carry_on(fork_run(waiting.pk, actor=by, step=1))
    assert (fork.status, results(fork)[1]["data"]["withheld"]) == ("completed", True)
    assert not Rehearsal.objects.exclude(run=fork).exists()


def test_a_turn_of_a_conversation_is_told_again_what_was_said_before(play: Play) -> None:
    world.publish_agent()
    play([say("Noted.")])
    world.carry_on(world.start(conversation="k", input="My order is A-20931."))
    play([say("It is A-20931.")])
    run = world.carry_on(world.start(conversation="k", input="Which is it?"))
    provider = play([say("It is A-20931.")])
    replay = world.carry_on(replay_run(run.pk, actor=world.operator()))
    assert "My order is A-20931." in provider.requests[0].messages[0].text
    assert (replay.status, replay.session, replay.conversation) == (run.status, None, "")
    assert replay.status == "completed"


def test_a_call_of_a_fork_is_never_undone_in_the_world(play: Play) -> None:
    world.publish_agent(policy=[{"then": "allow"}])
    play([call("book_seat", seat="1A"), say("There is no such tool.")])
    run = world.carry_on(world.start())
    unknown = ToolCall.objects.get(run=run)
    assert (unknown.status, unknown.effect) == ("refused", "")
    booking = [{"python": f"tests.reversible.{name}"} for name in ("book_seat", "cancel_seat")]
    world.publish_agent(policy=[{"then": "allow"}], tools=booking)
    play([say("Booked.")])
    other = OtherResult(unknown.pk, {"booking": {"id": "B-1A"}})
    fork = world.carry_on(fork_run(run.pk, actor=world.operator(), step=1, result=other))
    told = ToolCall.objects.get(run=fork)
    assert (told.status, told.effect, undo_tools(fork)) == ("succeeded", "read", {})
    ToolCall.objects.filter(pk=told.pk).update(effect="reversible")  # were it ever stored as one
    with pytest.raises(WrongState, match="rehearsal"):
        undo_call(told.pk, actor=world.operator())
    assert tools.effects() == []


def test_a_fork_writes_no_note_that_its_run_had_not_written(play: Play) -> None:
    world.publish_agent(memory={"scratchpad": True})
    play([call("write_note", text="without a name"), say("done")])
    run = world.carry_on(world.start())
    refused = ToolCall.objects.get(run=run)
    assert refused.status == "refused"
    play([call("read_notes"), say("done")])
    fork = fork_run(run.pk, actor=world.operator(), step=1, result=OtherResult(refused.pk, "written"))
    assert results(world.carry_on(fork))[1]["data"] == {"notes": []}


@pytest.mark.req("ADM-6")
def test_what_an_effect_masks_stays_masked_in_a_rehearsal_whose_tool_is_gone(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = {"then": "mask", "when": 'effect == "irreversible"', "mask": ["account"], "seen_by": "admin"}
    world.publish_agent(policy=[mask])
    play(script(*PAY[1:]))
    case = world.carry_on(made())

    def gone(_: Any) -> None:
        raise BadConfig("The tool is gone.")

    monkeypatch.setattr("agents.hidden.tools_of", gone)
    hidden = hidden_from(world.operator(), [case.pk])
    assert hidden[case.pk].scrubber.text("to acme") == "to [masked]"
