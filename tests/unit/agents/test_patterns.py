"""What each pattern decides, from nothing but what is stored."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime import decide
from agents.runtime.budgets import Budget, cut
from agents.runtime.decide import Action, Snapshot, next_action
from agents.runtime.decide.progress import current_step, progress
from agents.states import FINAL_RUN, RunStatus


@dataclass
class Step:
    kind: str
    payload: dict[str, Any]


@dataclass
class Child:
    status: str
    requested: str = ""


def turn(text: str = "Done.", calls: int = 0, finish: str = "stop", **more: Any) -> Step:
    return Step("model", {"text": text, "calls": calls, "finish": finish, **more})


def part(status: str = "completed", **more: Any) -> dict[str, Any]:
    values = {"agent": "bank", "reason": "So.", "output": "12.", "summary": "", "confidence": None}
    return {"status": status, **values, **more}


ROUTED = Step("route", {"route": "pay", "reason": "Money."})
FAST = Step("route", {"path": "fast"})
FULL = Step("route", {"path": "full"})
DELEGATED = Step("delegate", {"parts": []})
AGGREGATED = turn(confidence=0.9)
PLAN = Step("plan", {"steps": [{"title": "Look"}, {"title": "Pay"}, {"title": "Tell", "optional": True}]})
COMPLETE = Step("observe", {"verdict": "complete", "confidence": 0.9, "summary": "", "feedback": ""})


def gathered(*parts: dict[str, Any]) -> Step:
    return Step("gather", {"parts": list(parts)})


def steered(action: str, *numbers: int, applied: bool = True) -> Step:
    return Step("steer", {"action": action, "numbers": list(numbers), "applied": applied})


def after(pattern: str, *steps: Step, **values: Any) -> Action:
    return next_action(Snapshot(pattern=pattern, steps=steps, calls=(), fence=1, **values))


@pytest.mark.req("AGT-3")
@pytest.mark.parametrize(
    ("pattern", "steps", "expected"),
    [
        ("router", (), decide.Route()),
        ("router", (ROUTED, gathered(part())), "completed"),
        ("router", (ROUTED, gathered(part("loop_detected"))), "loop_detected"),
        ("router", (ROUTED,), "escalated"),  # there is no agent for the route
        ("coordinator", (), decide.Delegate()),
        ("coordinator", (DELEGATED,), decide.Gather()),
        ("coordinator", (DELEGATED, gathered(part())), decide.Aggregate(may_delegate=True)),
        ("coordinator", (DELEGATED, DELEGATED, gathered(part())), decide.Aggregate(may_delegate=False)),
        ("coordinator", (DELEGATED, gathered(part()), AGGREGATED), "completed"),
        ("coordinator", (DELEGATED, gathered(part("failed"), part()), AGGREGATED), "completed"),
        ("coordinator", (DELEGATED, gathered(part("failed")), AGGREGATED), "escalated"),
        ("coordinator", (DELEGATED, gathered(part()), turn(confidence=0.5)), "escalated"),
        ("chain", (), decide.CallModel()),
        ("chain", (turn(calls=1, link=1),), decide.CallModel()),
        ("chain", (turn(link=1),), decide.CallModel()),
        ("chain", (turn(link=1), turn(link=2)), "completed"),
        ("chain", (turn(link=1), turn(" ", link=2)), "escalated"),
        ("chain", (turn(link=1), turn(finish="length", link=2)), "escalated"),
        ("plan_execute", (PLAN, turn("", finished=True)), decide.CallModel()),
        ("plan_execute", (PLAN, turn(), steered("skip", 3)), decide.Observe()),
        ("plan_execute", (PLAN, turn(), steered("retry", 1)), decide.CallModel()),
        ("plan_execute", (PLAN, turn(), steered("replan")), decide.Plan()),
        ("plan_execute", (PLAN, turn(), steered("replan", applied=False)), decide.Observe()),
    ],
)
def test_what_follows(pattern: str, steps: tuple[Step, ...], expected: Action | str) -> None:
    action = after(pattern, *steps, links=2)
    assert (action.status if isinstance(action, decide.Finish) else action) == expected


@pytest.mark.req("AGT-3")
def test_a_routers_end_is_its_agents_end() -> None:
    end = after("router", ROUTED, gathered(part("escalated", output="Half.", confidence=0.4)))
    assert isinstance(end, decide.Finish)
    assert (end.output, end.confidence, end.reason) == ("Half.", 0.4, "bank: So.")


@pytest.mark.req("AGT-7")
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), decide.Triage()),
        ((FULL,), decide.Plan()),
        ((FAST,), decide.CallModel()),
        ((FAST, turn(calls=1)), decide.CallModel()),
        ((FAST, turn()), "completed"),
        ((FAST, turn(" ")), decide.Plan()),
        ((FAST, turn(finish="refused")), decide.Plan()),
        ((FAST, *[turn(calls=1)] * 4), decide.Plan()),
        ((FAST, turn(" "), PLAN), decide.CallModel()),
        ((FAST, turn(" "), PLAN, turn()), decide.Observe()),
    ],
)
def test_the_fast_path(steps: tuple[Step, ...], expected: Action | str) -> None:
    action = after("plan_execute", *steps, fast_path=True)
    assert (action.status if isinstance(action, decide.Finish) else action) == expected


@pytest.mark.req("AGT-5")
def test_a_form_of_the_answer_is_made_before_the_end_and_once() -> None:
    assert after("react", turn(), success=True) == decide.Conclude()
    assert isinstance(after("react", turn(" "), success=True), decide.Finish)
    formed = turn('{"a": 1}', concluded=True)
    for pattern, steps in (("react", (turn(),)), ("plan_execute", (PLAN, turn(), COMPLETE))):
        end = after(pattern, *steps, formed, success=True)
        assert isinstance(end, decide.Finish)
        assert end.status == RunStatus.COMPLETED


@pytest.mark.req("RUN-12")
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("", decide.AskPlan()),
        ("pending", decide.Wait(RunStatus.WAITING_APPROVAL, "A person must approve the plan.")),
        ("approved", decide.TakePlan()),
        ("denied", "escalated"),
        ("expired", "escalated"),
    ],
)
def test_a_plan_that_a_person_approves_first(question: str, expected: Action | str) -> None:
    action = after("plan_execute", PLAN, approve_plan=True, question=question)
    assert (action.status if isinstance(action, decide.Finish) else action) == expected
    approved = Step("plan", {**PLAN.payload, "approved_by": "ana"})
    assert after("plan_execute", PLAN, approved, approve_plan=True) == decide.CallModel()


@pytest.mark.req("RUN-12")
def test_steering_is_taken_in_first_but_for_stops_and_open_questions() -> None:
    assert after("plan_execute", PLAN, steered=True) == decide.TakeSteering()
    assert after("plan_execute", PLAN, steered=True, requested="pause") == decide.Pause()
    assert isinstance(after("plan_execute", PLAN, steered=True, halted="Stop."), decide.Freeze)
    waiting = after("plan_execute", PLAN, steered=True, approve_plan=True, question="pending")
    assert isinstance(waiting, decide.Wait)


@pytest.mark.req("AGT-4")
def test_optional_steps_are_dropped_when_the_budget_is_short() -> None:
    assert after("plan_execute", PLAN, tokens=34_000) == decide.CallModel()
    assert after("plan_execute", PLAN, tokens=36_000) == decide.DropSteps((3,))
    assert after("plan_execute", PLAN, steered("drop", 3), tokens=36_000) == decide.CallModel()
    begun = (turn(calls=1, plan_step=3),)
    assert after("plan_execute", PLAN, *begun, tokens=36_000) == decide.CallModel()


def states(*steps: Step) -> list[str]:
    return [step.state for step in progress((PLAN, *steps))]


@pytest.mark.req("AGT-4", "RUN-12")
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), ["current", "pending", "pending"]),
        ((turn(calls=1, plan_step=1),), ["current", "pending", "pending"]),
        ((turn(plan_step=1, finished=True),), ["done", "current", "pending"]),
        ((turn(calls=1, plan_step=3),), ["done", "done", "current"]),
        ((COMPLETE,), ["done", "current", "pending"]),
        ((steered("skip", 1), steered("drop", 3)), ["skipped", "current", "dropped"]),
        ((steered("skip", 1, applied=False),), ["current", "pending", "pending"]),
        ((turn(plan_step=1, finished=True), steered("retry", 1)), ["current", "pending", "pending"]),
        ((turn(calls=1, plan_step=3), steered("retry", 2)), ["done", "current", "pending"]),
        ((turn(plan_step=3, finished=True),), ["done", "done", "done"]),
    ],
)
def test_how_far_a_plan_is(steps: tuple[Step, ...], expected: list[str]) -> None:
    assert states(*steps) == expected


MOVES = st.one_of(
    st.builds(turn, plan_step=st.integers(1, 3), finished=st.booleans()),
    st.builds(steered, st.sampled_from(["skip", "drop", "retry", "replan"]), st.integers(0, 9)),
    st.just(COMPLETE),
)


@pytest.mark.req("RUN-12")
@given(st.lists(MOVES, max_size=12))
def test_whatever_happens_to_a_plan_the_first_open_step_is_current(moves: list[Step]) -> None:
    plan = progress((PLAN, *moves))
    found = [step.state for step in plan]
    current = current_step(plan)
    assert found.count("current") == (current is not None)
    assert current is not None or "pending" not in found
    assert current is None or "pending" not in found[: current.number - 1]


CHILD = st.builds(Child, st.sampled_from(list(RunStatus)), st.sampled_from(["", "cancel", "pause"]))


@pytest.mark.req("AGT-3", "RUN-8")
@given(
    children=st.lists(CHILD, max_size=3),
    requested=st.sampled_from(["", "cancel", "pause"]),
    halted=st.sampled_from(["", "Stop."]),
    broken=st.sampled_from(["", "Broken."]),
    tokens=st.sampled_from([0, 60_000]),
    steps=st.sampled_from(
        [(DELEGATED,), (DELEGATED, gathered(part())), (DELEGATED, gathered(part()), AGGREGATED)]
    ),
)
def test_a_run_never_ends_nor_goes_on_while_one_below_is_open(
    children: list[Child], steps: tuple[Step, ...], **values: Any
) -> None:
    action = after("coordinator", *steps, children=children, **values)
    if all(child.status in FINAL_RUN for child in children):
        assert not isinstance(action, decide.PassOn)
        return
    assert isinstance(action, decide.Wait | decide.PassOn | decide.Pause | decide.Freeze)
    if isinstance(action, decide.Wait):
        assert action.status == RunStatus.WAITING_RUNS
        assert values["requested"] != "pause" or values["broken"]


SHARES = st.lists(st.floats(-1, 5), min_size=1, max_size=8)


@pytest.mark.req("AGT-3")
@given(st.integers(0, 50), st.integers(0, 100_000), st.floats(0, 10), st.floats(0, 1000), SHARES)
def test_parts_of_a_budget_are_never_more_than_the_whole(
    turns: int, tokens: int, cost: float, seconds: float, shares: list[float]
) -> None:
    whole = Budget(turns, tokens, cost, seconds)
    cuts = cut(whole, shares)
    assert len(cuts) in (0, len(shares))
    assert sum(piece.turns for piece in cuts) <= max(turns - 1, 0)
    assert sum(piece.tokens for piece in cuts) <= tokens
    assert sum(piece.cost_usd for piece in cuts) <= cost
    assert sum(piece.seconds for piece in cuts) <= seconds
    assert all(piece.turns >= 1 for piece in cuts)
