"""What counts as going in circles, and what doesn't."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.loops import Turn, find_loop, loop_of, turns_of

pytestmark = pytest.mark.req("RUN-3")


@dataclass
class Call:
    tool: str
    proposed_arguments: Any
    result: Any = None
    effect: str = "read"
    status: str = "succeeded"
    step_id: int = 0


@dataclass
class Step:
    pk: int
    kind: str
    payload: dict[str, Any]


def found(data: Any) -> dict[str, Any]:
    return {"type": "success", "data": data}


MISSING = {"type": "not_found", "message": "there is none"}
DENIED = {"type": "denied", "message": "An operator rejected this call."}


def look(result: Any, **arguments: Any) -> Turn:
    return Turn("I look.", [Call("get_order", arguments, result)])


def act(result: Any, tool: str = "pay", **arguments: Any) -> Turn:
    return Turn("I act.", [Call(tool, arguments, result, effect="irreversible")])


def promise(text: str) -> Turn:
    return Turn(text, sent_back=True)


def loop(*turns: Turn, repeats: int = 3, polling: tuple[str, ...] = ()) -> str:
    return find_loop(turns, repeats=repeats, polling=polling)


@pytest.mark.parametrize("result", [found(1), MISSING, DENIED, {"type": "error", "message": "timeout"}])
def test_the_same_call_three_times_whatever_came_of_it(result: Any) -> None:
    turn = look(result, order="O-1")
    assert not loop(turn, turn)
    told = loop(turn, turn, turn)
    assert "the same call 3 times" in told
    assert 'get_order {"order": "O-1"}' in told


def test_others_in_between_change_nothing_about_it() -> None:
    turn = look(found(1), order="O-1")
    others = [look(found(n), order=f"O-{n}") for n in range(2, 6)]
    assert "same call" in loop(turn, others[0], others[1], turn, others[2], others[3], turn)


def test_a_lookup_is_tried_before_it_counts_and_an_effect_is_not() -> None:
    assert not loop(look(found(1), order="O-1"), look(found(1), order="O-1"), look(None, order="O-1"))
    assert "same call 3 times" in loop(act(found(1), to="a"), act(found(2), to="a"), act(None, to="a"))


def test_other_arguments_are_progress() -> None:
    assert not loop(*[look(found("open"), order=f"O-{n}") for n in range(12)])


def test_a_lookup_that_returns_something_else_is_progress() -> None:
    assert not loop(*[look(found(n), order="O-1") for n in range(12)])
    assert loop(look(found(0), order="O-1"), *[look(found(1), order="O-1")] * 3)


def test_when_it_was_fetched_is_no_news() -> None:
    assert "same call" in loop(*[look(found(1) | {"fetched_at": n}, order="O-1") for n in range(3)])


def test_an_effect_is_repeated_even_if_each_result_has_another_number() -> None:
    assert "same call" in loop(*[act(found({"id": n}), to="a") for n in range(3)])


def test_the_same_call_several_times_in_one_turn_counts_once() -> None:
    turn = Turn("", [Call("get_order", {"order": "O-1"}, found(1))] * 5)
    assert not loop(turn, turn)


def test_a_tool_that_is_meant_to_be_asked_again_may_be() -> None:
    assert not loop(*[look(found("pending"), job=1)] * 20, polling=("get_order",))


def test_back_and_forth_between_two_states() -> None:
    one, other = look(found(1), order="O-1"), look(found(2), order="O-2")
    assert not loop(one, other, one)
    told = loop(one, other, one, other)
    assert "back and forth" in told
    assert "O-1" in told
    assert "O-2" in told
    assert not loop(one, other, one, other, repeats=4)
    assert "back and forth" in loop(*[one, other] * 3, repeats=4)


def test_back_and_forth_between_two_answers() -> None:
    assert "back and forth" in loop(*[promise("I will look."), promise("It is  done.")] * 2, repeats=2)


def test_back_and_forth_is_progress_while_what_is_read_changes() -> None:
    pages = [turn for n in range(2) for turn in (act(found("ok"), tool="next_page"), look(found(n)))]
    assert not loop(*pages)


def test_promises_without_calls() -> None:
    assert not loop(promise("I will."), promise("I am about to."))
    assert "without calling a tool" in loop(
        promise("I will."), promise("I am about to."), promise("Any moment.")
    )


def test_promises_count_in_a_row() -> None:
    assert not loop(promise("a"), promise("b"), look(found(1), order="O-1"), promise("c"), promise("d"))


def test_turns_from_which_nothing_new_is_learnt() -> None:
    vain = [look(MISSING, order=f"O-{n}") for n in range(5)]
    assert not loop(*vain[:4])
    assert "in 5 turns in a row" in loop(*vain)
    assert not loop(*vain[:4], look(found(1), order="O-9"), *vain[4:])
    assert "in 5 turns in a row" in loop(*[act(DENIED, amount=n) for n in range(5)])


def test_what_still_waits_may_bring_news() -> None:
    assert not loop(*[look(MISSING, order=f"O-{n}") for n in range(4)], act(None, to="a"))


def test_turns_are_read_from_steps_and_begin_anew_after_a_person_spoke() -> None:
    steps = [
        Step(1, "plan", {}),
        Step(2, "model", {"text": "a", "calls": 1}),
        Step(3, "answer", {}),
        Step(4, "model", {"text": "b", "calls": 1}),
        Step(5, "observe", {"verdict": "continue"}),
        Step(6, "model", {"text": "c", "calls": 0}),
        Step(7, "observe", {"verdict": "complete"}),
    ]
    calls = [Call("pay", {}, step_id=2), Call("pay", {}, step_id=4)]
    assert turns_of(steps, calls) == [Turn("b", [calls[1]], sent_back=True), Turn("c")]


def test_a_run_that_is_over_is_no_loop() -> None:
    steps = [Step(n, "model", {"text": "", "calls": 1}) for n in range(3)]
    calls = [Call("get_order", {}, MISSING, step_id=n) for n in range(3)]
    assert "same call" in loop_of(steps, calls, repeats=3)
    assert not loop_of([*steps, Step(3, "model", {"text": "There is none.", "calls": 0})], calls, repeats=3)
    assert not loop_of([*steps, Step(3, "observe", {"verdict": "complete"})], calls, repeats=3)
    assert not loop_of([], [], repeats=3)


results = st.sampled_from([found(1), found(2), MISSING, DENIED, None])
turns = st.lists(
    st.builds(
        Turn,
        st.sampled_from(["a", "b"]),
        st.lists(
            st.builds(
                Call,
                st.sampled_from(["get", "pay"]),
                st.sampled_from([{}, {"a": 1}, "no object"]),
                results,
                st.sampled_from(["read", "irreversible", ""]),
            ),
            max_size=2,
        ),
        st.booleans(),
    ),
    max_size=12,
)


@given(turns, st.integers(2, 5))
def test_whatever_a_run_did_more_patience_finds_no_more_loops(run: list[Turn], repeats: int) -> None:
    if loop(*run, repeats=repeats + 1):
        assert loop(*run, repeats=repeats)


@given(st.lists(st.integers(), unique=True, max_size=20))
def test_a_run_that_learns_something_in_each_turn_is_never_stopped(orders: list[int]) -> None:
    assert not loop(*[look(found(order), order=order) for order in orders], repeats=2)
