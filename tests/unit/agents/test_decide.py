"""The decision is a pure function: whatever is stored, what it says next is safe and leads to an end."""

from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime import decide
from agents.runtime.decide import Snapshot, next_action
from agents.states import FINAL_CALL, CallStatus, RunStatus


@dataclass
class Step:
    kind: str
    payload: dict[str, Any]


@dataclass
class Call:
    status: str
    claim_fence: int | None = None
    pk: UUID = field(default_factory=uuid4)
    approval_id: UUID | None = None
    result: Any = None
    tried: bool = False

    @property
    def may_have_happened(self) -> bool:
        return self.tried


PLAN = Step("plan", {"needs_clarification": None})
QUESTION = Step("plan", {"needs_clarification": "Which?"})
CALLS = Step("model", {"text": "", "finish": "tool_calls", "calls": 1})
TEXT = Step("model", {"text": "Done.", "finish": "stop", "calls": 0})
CONTINUE = Step("observe", {"verdict": "continue", "confidence": 0.1, "summary": "", "feedback": "more"})
COMPLETE = Step("observe", {"verdict": "complete", "confidence": 0.9, "summary": "Paid.", "feedback": ""})
UNSURE = Step("observe", {"verdict": "complete", "confidence": 0.59, "summary": "Paid?", "feedback": ""})
ESCALATE = Step("observe", {"verdict": "escalate", "confidence": 0.9, "summary": "Fraud.", "feedback": ""})
ANSWER = Step("answer", {"text": "acme"})


def snapshot(
    *steps: Step, calls: tuple[Call, ...] = (), pattern: str = "plan_execute", **values: Any
) -> Snapshot:
    return Snapshot(pattern=pattern, steps=steps, calls=calls, fence=1, **values)


@pytest.mark.req("RUN-1", "RUN-4")
@pytest.mark.parametrize(
    ("steps", "pattern", "expected"),
    [
        ((), "plan_execute", decide.Plan),
        ((), "react", decide.CallModel),
        ((PLAN,), "plan_execute", decide.CallModel),
        ((QUESTION,), "plan_execute", decide.Ask),
        ((QUESTION, ANSWER), "plan_execute", decide.Plan),
        ((QUESTION, ANSWER, QUESTION, ANSWER, QUESTION), "plan_execute", decide.CallModel),
        ((PLAN, CALLS), "plan_execute", decide.CallModel),
        ((PLAN, TEXT), "plan_execute", decide.Observe),
        ((TEXT,), "react", decide.Finish),
        ((PLAN, TEXT, CONTINUE), "plan_execute", decide.CallModel),
        ((PLAN, TEXT, COMPLETE), "plan_execute", decide.Finish),
    ],
)
def test_the_order_of_things(steps: tuple[Step, ...], pattern: str, expected: type) -> None:
    assert isinstance(next_action(snapshot(*steps, pattern=pattern)), expected)


@pytest.mark.req("RUN-4")
@pytest.mark.parametrize(
    ("last", "status"),
    [(COMPLETE, RunStatus.COMPLETED), (UNSURE, RunStatus.ESCALATED), (ESCALATE, RunStatus.ESCALATED)],
)
def test_how_an_observation_ends_the_run(last: Step, status: RunStatus) -> None:
    action = next_action(snapshot(PLAN, TEXT, last))
    assert isinstance(action, decide.Finish)
    assert action.status == status
    assert action.reason


@pytest.mark.req("RUN-2")
@pytest.mark.parametrize(
    "used", [{"turns": 25}, {"tokens": 50_000}, {"cost_usd": 2.0}, {"work_seconds": 120.0}]
)
def test_a_limit_that_is_reached_ends_the_run_before_the_next_model_call(used: dict[str, Any]) -> None:
    action = next_action(snapshot(PLAN, CALLS, calls=(Call("succeeded", 1),), **used))
    assert isinstance(action, decide.Finish)
    assert action.status == RunStatus.LIMIT_EXCEEDED


@pytest.mark.req("RUN-2")
def test_a_limit_takes_nothing_away_from_what_is_already_done() -> None:
    used: dict[str, Any] = {"turns": 25, "tokens": 60_000, "cost_usd": 3.0, "work_seconds": 999.0}
    for s in (snapshot(PLAN, TEXT, COMPLETE, **used), snapshot(TEXT, pattern="react", **used)):
        action = next_action(s)
        assert isinstance(action, decide.Finish)
        assert action.status == RunStatus.COMPLETED


@pytest.mark.req("TOOL-4", "RUN-8")
def test_a_cancelled_run_with_a_call_in_doubt_waits_until_a_person_has_settled_it() -> None:
    doubt = Call("unknown", 1)
    waiting = snapshot(PLAN, CALLS, calls=(doubt,), requested="cancel")
    assert isinstance(next_action(waiting), decide.Wait)
    assert isinstance(next_action(replace(waiting, settled={doubt.pk})), decide.Settle)


STEPS = st.sampled_from([PLAN, QUESTION, CALLS, TEXT, CONTINUE, COMPLETE, UNSURE, ESCALATE, ANSWER])
CALL = st.builds(
    Call,
    status=st.sampled_from(list(CallStatus)),
    claim_fence=st.sampled_from([None, 0]),
    approval_id=st.sampled_from([None, uuid4()]),
    tried=st.booleans(),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    calls = tuple(draw(st.lists(CALL, max_size=4)))
    waiting = [call.pk for call in calls if call.status in (CallStatus.PENDING_APPROVAL, CallStatus.UNKNOWN)]
    return snapshot(
        *draw(st.lists(STEPS, max_size=5)),
        calls=calls,
        pattern=draw(st.sampled_from(["plan_execute", "react"])),
        settled=set(draw(st.lists(st.sampled_from(waiting), unique=True))) if waiting else set(),
        question=draw(st.sampled_from(["", "pending", "answered", "denied", "expired", "cancelled"])),
        requested=draw(st.sampled_from(["", "cancel", "pause"])),
        halted=draw(st.sampled_from(["", "halted by ana"])),
        turns=draw(st.integers(0, 30)),
        tokens=draw(st.integers(0, 60_000)),
        work_seconds=draw(st.floats(0, 200)),
    )


@pytest.mark.req("RUN-1", "RUN-5", "APR-1")
@given(s=snapshots())
def test_whatever_is_stored_the_next_action_is_safe(s: Snapshot) -> None:
    action = next_action(s)
    assert next_action(s) == action
    status_of = {call.pk: call.status for call in s.calls}
    open_calls = [status for status in status_of.values() if status not in FINAL_CALL]
    match action:
        case decide.Execute(call):
            assert status_of[call] == CallStatus.APPROVED
            assert not s.halted
            assert not s.requested
        case decide.Settle(call):
            assert call in s.settled
        case decide.Recover(call):
            assert status_of[call] in (CallStatus.EXECUTING, CallStatus.APPROVED)
        case decide.Plan() | decide.CallModel() | decide.Observe() | decide.Ask() | decide.TakeAnswer():
            assert not open_calls
            assert not s.halted
            assert not s.requested
            assert s.tokens < s.max_tokens
        case decide.Finish(status, reason):
            assert reason
            assert CallStatus.UNKNOWN not in open_calls
            assert CallStatus.EXECUTING not in open_calls
            assert not any(call.may_have_happened for call in s.calls if call.status == CallStatus.APPROVED)
            if status not in (RunStatus.CANCELLED, RunStatus.LIMIT_EXCEEDED):
                assert not open_calls
        case decide.Wait(status, reason):
            assert reason
            assert status in (RunStatus.WAITING_APPROVAL, RunStatus.WAITING_INPUT)
