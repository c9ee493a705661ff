"""Whether a run goes in circles: pure functions over its turns.

Three shapes are known: the same call again and again, two states in turn, and turns from which nothing new is learnt.
Other arguments are progress, and so is a lookup that now returns something else. What a person said begins anew.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# After these, what was tried in vain may be tried again with reason.
FROM_PEOPLE = frozenset({"answer", "message", "steer"})
SHOWN_CHARS = 120


class StepLike(Protocol):
    """What is needed of a step."""

    @property
    def pk(self) -> Any:
        """By which its calls know it."""

    kind: str
    payload: Any


class CallLike(Protocol):
    """What is needed of a tool call."""

    step_id: Any
    tool: str
    proposed_arguments: Any
    effect: str
    status: str
    result: Any


@dataclass(slots=True)
class Turn:
    """What the executor said at once, and whether it was told to go on without having called anything."""

    text: str
    calls: list[CallLike] = field(default_factory=list)
    sent_back: bool = False


def loop_of(
    steps: Sequence[StepLike], calls: Sequence[CallLike], *, repeats: int, polling: Collection[str] = ()
) -> str:
    """In words, how the run goes in circles, where its executor would go on; empty where it doesn't.

    `repeats` is how often the same call makes a loop; `polling` names tools that are meant to be called again.
    """
    last = steps[-1] if steps else None
    goes_on = last is not None and (
        (last.kind == "model" and last.payload["calls"])
        or (last.kind == "observe" and last.payload["verdict"] == "continue")
    )
    if not goes_on or sum(step.kind == "model" for step in steps) < repeats:
        return ""
    return find_loop(turns_of(steps, calls), repeats=repeats, polling=polling)


def turns_of(steps: Sequence[StepLike], calls: Sequence[CallLike]) -> list[Turn]:
    """The executor's turns since a person last said something, in order."""
    turns: list[Turn] = []
    turn_of: dict[Any, Turn] = {}
    for step in steps:
        if step.kind == "model":
            turns.append(Turn(text=step.payload["text"]))
            turn_of[step.pk] = turns[-1]
        elif step.kind == "observe" and turns and step.payload["verdict"] == "continue":
            turns[-1].sent_back = True
        elif step.kind in FROM_PEOPLE:
            turns.clear()
            turn_of.clear()
    for call in calls:
        if turn := turn_of.get(call.step_id):
            turn.calls.append(call)
    return turns


def find_loop(turns: Sequence[Turn], *, repeats: int, polling: Collection[str] = ()) -> str:
    """Which of the three shapes the turns have, in words; empty where none."""
    return (
        _same_call(turns, repeats, polling)
        or _two_states(turns, repeats, polling)
        or _nothing_new(turns, repeats, polling)
    )


def _same_call(turns: Sequence[Turn], repeats: int, polling: Collection[str]) -> str:
    """Of a lookup, counted since its result last changed; of any other call, before it is done once more."""
    for latest in turns[-1].calls if turns else ():
        if latest.tool in polling:
            continue
        count, reads = 0, _reads(latest, turns)
        seen: tuple[Any, ...] = ()
        for turn in turns:
            same = [call for call in turn.calls if _same(call, latest)]
            if not same or (reads and same[0].result is None):
                continue
            if reads and _learnt(same[0]) and _outcome(same[0]) != seen:
                count = 0
            seen, count = _outcome(same[0]), count + 1
        if count >= repeats:
            return (
                f"It made the same call {count} times, with the same arguments, and nothing new came of it: "
                f"{_told(latest)}."
            )
    return ""


def _two_states(turns: Sequence[Turn], repeats: int, polling: Collection[str]) -> str:
    """A, B, A, B: once less often than `repeats`, because each half has then been seen that often."""
    length = 2 * max(2, repeats - 1)
    if len(turns) < length:
        return ""
    window = turns[-length:]
    if any(call.tool in polling for turn in window for call in turn.calls):
        return ""
    states = [_state(turn) for turn in window]
    first, second = states[0], states[1]
    if first == second or states != [first, second] * (length // 2):
        return ""
    return f"It went back and forth {length // 2} times between two states: {_tell(window[0])}, and {_tell(window[1])}."


def _nothing_new(turns: Sequence[Turn], repeats: int, polling: Collection[str]) -> str:
    promises = 0
    for turn in reversed(turns):
        if turn.calls or not turn.sent_back:
            break
        promises += 1
    if promises >= repeats:
        return (
            f"It made no progress: {promises} times in a row it answered without calling a tool, "
            "and its answer did not do the task."
        )
    known: list[CallLike] = []
    barren = 0
    for turn in turns:
        news = [call for call in turn.calls if call.tool in polling or _is_news(call, known)]
        barren = 0 if news or not (turn.calls or turn.sent_back) else barren + 1
        known.extend(turn.calls)
    # Other arguments are worth a try, so this takes longer than the same call.
    if barren >= repeats + 2:
        return (
            f"It made no progress: in {barren} turns in a row every call was turned down, failed, "
            "or returned what was known already."
        )
    return ""


def _is_news(call: CallLike, known: Sequence[CallLike]) -> bool:
    """Whether something was done or learnt by it, or still may be."""
    if call.result is None:
        return True
    if not _learnt(call):
        return False
    return call.effect != "read" or not any(
        _outcome(other) == _outcome(call) for other in known if _same(other, call)
    )


def _learnt(call: CallLike) -> bool:
    return isinstance(call.result, dict) and call.result.get("type") == "success"


def _outcome(call: CallLike) -> tuple[Any, ...]:
    """What came of it, without when and how it was got."""
    result = call.result if isinstance(call.result, dict) else {}
    return result.get("type"), result.get("data"), result.get("message")


def _same(one: CallLike, other: CallLike) -> bool:
    return one.tool == other.tool and one.proposed_arguments == other.proposed_arguments


def _reads(call: CallLike, turns: Sequence[Turn]) -> bool:
    """Whether it only looks something up; a call that nobody has judged yet is known by those before it."""
    effects = {other.effect for turn in turns for other in turn.calls if other.tool == call.tool}
    return "read" in effects


def _state(turn: Turn) -> Any:
    """What makes two turns the same: their calls with what was looked up; without calls, the text."""
    if not turn.calls:
        return " ".join(turn.text.split()).casefold()
    return sorted(
        json.dumps(
            [call.tool, call.proposed_arguments, _outcome(call) if call.effect == "read" else ()],
            sort_keys=True,
        )
        for call in turn.calls
    )


def _tell(turn: Turn) -> str:
    if not turn.calls:
        return "an answer without a call"
    return " with ".join(_told(call) for call in turn.calls[:3])


def _told(call: CallLike) -> str:
    arguments = json.dumps(call.proposed_arguments, ensure_ascii=False)
    return f"{call.tool} {arguments if len(arguments) <= SHOWN_CHARS else arguments[:SHOWN_CHARS] + '…'}"
