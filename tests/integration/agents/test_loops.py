"""Runs that go in circles, and answers that state what nothing bears out: how the real loop ends them."""

from typing import Any

import pytest

from agents.decisions import decide
from agents.handover import hand_over
from agents.models import Run
from agents.providers.scripted import Script, answer, call, say, together
from tests import tools, world
from tests.integration.agents.conftest import Play
from traces.models import Span

pytestmark = pytest.mark.django_db(transaction=True)

PLAN = {"goal": "Pay", "steps": [{"title": "Look", "categories": ["lookup"]}], "needs_clarification": None}
ALLOW = [{"then": "allow"}]


def played(play: Play, script: Script, **changes: Any) -> Run:
    play(script)
    world.publish_agent(**changes)
    return world.carry_on(world.start())


@pytest.mark.req("RUN-3", "RUN-4")
def test_the_same_lookup_again_and_again_ends_the_run(play: Play) -> None:
    run = played(play, [call("get_balance", account="acme")] * 5)
    assert run.status == "loop_detected"
    assert "the same call 3 times, with the same arguments" in run.reason
    assert 'get_balance {"account": "acme"}' in run.reason
    assert world.calls(run) == [("get_balance", "succeeded")] * 3
    assert run.summary == "No effect on the world was made. Looked up: get_balance 3 times."
    assert run.turns == 3


@pytest.mark.req("RUN-3")
def test_an_effect_is_not_done_for_the_third_time(play: Play) -> None:
    run = played(play, [call("add_note", text="x") for _ in range(5)], policy=ALLOW)
    assert run.status == "loop_detected"
    assert len(tools.effects()) == 2
    assert world.calls(run)[-1] == ("add_note", "cancelled")
    assert run.summary == "Done: add_note 2 times. Tried in vain: add_note (not done any more)."


@pytest.mark.req("RUN-3", "APR-1")
def test_nobody_is_asked_for_the_third_time_about_what_was_refused(play: Play) -> None:
    play([call("pay", account="acme", amount=40) for _ in range(5)])
    world.publish_agent()
    run = world.carry_on(world.start())
    request = world.pending(run)
    decide(
        approval_id=request.pk, actor=world.operator(), decision="reject", digest=request.digest, reason="No."
    )
    run = world.carry_on(run)
    assert run.status == "loop_detected"
    assert world.calls(run) == [("pay", "denied"), ("pay", "refused"), ("pay", "cancelled")]
    assert tools.effects() == []


@pytest.mark.req("RUN-3")
def test_how_often_is_often_can_be_set(play: Play) -> None:
    script = [call("get_balance", account="acme")] * 4
    run = played(play, [*script, say("It has 1240.")], limits={"repeats": 5})
    assert run.status == "completed"


@pytest.mark.req("RUN-3")
def test_back_and_forth_ends_the_run(play: Play) -> None:
    both = [call("get_balance", account="acme"), call("get_balance", account="globex")]
    run = played(play, both * 3)
    assert run.status == "loop_detected"
    assert "back and forth" in run.reason
    assert run.turns == 4


@pytest.mark.req("RUN-3")
def test_promises_end_the_run(play: Play) -> None:
    more = {"verdict": "continue", "confidence": 0.2, "summary": "Nothing.", "feedback": "Look."}
    script = [answer(PLAN)]
    for words in ("I will look.", "I am about to look.", "One moment.", "Soon."):
        script += [say(words), answer(more)]
    run = played(play, script, pattern="plan_execute")
    assert run.status == "loop_detected"
    assert "without calling a tool" in run.reason
    assert run.summary == "No effect on the world was made."
    assert run.turns == 3


@pytest.mark.req("RUN-3")
def test_nothing_but_failures_ends_the_run(play: Play) -> None:
    run = played(play, [call("get_balance", account=f"none-{n}") for n in range(9)])
    assert run.status == "loop_detected"
    assert "in 5 turns in a row" in run.reason


@pytest.mark.req("RUN-10")
def test_what_was_made_up_is_corrected_once(play: Play) -> None:
    model = play(
        [
            call("get_balance", account="acme"),
            say("acme has EUR 1,340.00, see RMA-77."),
            say("acme has EUR 1,240.00."),
        ]
    )
    world.publish_agent()
    run = world.carry_on(world.start())
    assert (run.status, run.output) == ("completed", "acme has EUR 1,240.00.")
    step = run.steps.get(kind="verify")
    assert [item["text"] for item in step.payload["findings"]] == ["RMA-77", "EUR 1,340.00"]
    assert len(model.requests) == 3
    told = model.requests[-1].messages[-1]
    assert told.role == "user"
    assert "RMA-77 (identifier), EUR 1,340.00 (amount)" in told.text
    spans = Span.objects.filter(trace_id=run.trace_id, name="guardrail verify").order_by("started_at")
    assert [span.status for span in spans] == ["error", "ok"]


@pytest.mark.req("RUN-10", "RUN-4")
def test_what_stays_made_up_is_kept_back_and_handed_over(play: Play) -> None:
    run = played(play, [say("The refund is RMA-77.")] * 2)
    assert run.status == "escalated"
    assert "RMA-77" in run.reason
    assert run.output == ""
    handed = hand_over(run)
    assert handed.unsupported == ["RMA-77"]
    assert handed.last_words == "The refund is RMA-77."


@pytest.mark.req("RUN-10")
def test_a_planned_answer_is_corrected_before_the_observer_sees_it(play: Play) -> None:
    done = {"verdict": "complete", "confidence": 0.9, "summary": "Told.", "feedback": ""}
    script = [answer(PLAN), say("It is O-1042."), say("I found no order."), answer(done)]
    run = played(play, script, pattern="plan_execute")
    assert (run.status, run.output) == ("completed", "I found no order.")
    kinds = list(run.steps.order_by("seq").values_list("kind", flat=True))
    assert kinds == ["plan", "model", "verify", "model", "observe"]


@pytest.mark.req("RUN-10", "RUN-2")
def test_an_answer_that_can_not_be_corrected_any_more_is_kept_back(play: Play) -> None:
    run = played(play, [say("It is O-1042.")], limits={"turns": 1})
    assert run.status == "escalated"
    assert "O-1042" in run.reason
    assert "its 1 turns" in run.reason
    assert run.output == ""


@pytest.mark.req("RUN-10")
def test_the_check_can_be_switched_off(play: Play) -> None:
    run = played(play, [say("It is O-1042.")], guardrails={"verify": "off"})
    assert (run.status, run.output) == ("completed", "It is O-1042.")
    assert not Span.objects.filter(trace_id=run.trace_id, name="guardrail verify").exists()


@pytest.mark.req("RUN-10")
def test_what_the_agent_was_told_or_did_may_be_said(play: Play) -> None:
    script = [
        together(say("I note it."), call("add_note", text="N-4711")),
        say("For C-1042 I noted N-4711."),
    ]
    play(script)
    world.publish_agent(policy=ALLOW)
    run = world.carry_on(world.start(subject={"customer_id": "C-1042"}))
    assert run.status == "completed"


@pytest.mark.req("RUN-4")
def test_a_hand_over_says_all_that_the_next_person_needs(play: Play) -> None:
    play(
        [
            call("get_balance", account="acme"),
            together(say("I pay."), call("pay", account="acme", amount=40), call("lose_reply")),
            call("pay", account="acme", amount=50),
            say("Paid 40."),
        ]
    )
    world.publish_agent(policy=[{"tool": "lose_reply", "then": "deny"}], limits={"turns": 2})
    run = world.carry_on(world.start(subject={"customer_id": "C-1"}))
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = world.carry_on(run)
    handed = hand_over(run)
    assert run.status == "limit_exceeded"
    assert handed.asked == run.input
    assert handed.on_behalf_of == {"customer_id": "C-1"}
    assert handed.why == run.reason == "The run used up its 2 turns before the task was done."
    assert [(deed.words, deed.result) for deed in handed.done] == [("Pay EUR 40.00 to acme", "paid: 40.0")]
    assert [deed.result for deed in handed.found] == ["account: acme, balance: 1240.0"]
    assert [deed.call.status for deed in handed.not_done] == ["denied"]
    assert handed.last_words == "I pay."
    assert any("limit" in sentence for sentence in handed.next)


@pytest.mark.req("RUN-2")
def test_a_step_that_can_not_be_small_enough_ends_the_run(play: Play) -> None:
    model = play([say("Done.")])
    world.publish_agent(instructions="Look before you pay. " * 600, limits={"step_tokens": 1000})
    run = world.carry_on(world.start())
    assert run.status == "limit_exceeded"
    assert "1,000 tokens" in run.reason
    assert not model.requests


@pytest.mark.req("RUN-2")
def test_an_answer_may_use_no_more_than_its_step(play: Play) -> None:
    model = play([say("Done.")])
    world.publish_agent(limits={"step_tokens": 4000})
    assert world.carry_on(world.start()).status == "completed"
    assert model.requests[0].max_tokens <= 2000
