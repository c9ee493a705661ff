"""How much of a model's window a run fills: what a prompt may have, and when old steps are to be summarised."""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from agents.config import AgentConfig, ModelRef
from agents.models import Step, StepKind, ToolCall
from agents.runtime.estimates import CALL, MESSAGE, estimate

KEPT = 0.4  # of what makes a prompt too full: the latest steps of about this size stay as they are
WORTH = 0.1  # likewise: fewer old words are not worth a call of the summariser
SHARE = 3  # one message may fill a third of what a prompt can hold
MARGIN = 0.95  # of the capacity: estimates may be wrong by a little
CORRECTIONS = (0.75, 4.0)  # how far a provider's count may move the estimates


def capacity(model: ModelRef) -> int:
    """Tokens that a prompt may have: what the answer leaves, and half of the window at the least."""
    return max(model.window - model.max_tokens, model.window // 2)


def answer_max(model: ModelRef) -> int:
    """Tokens that the answer may have beside a prompt of full capacity."""
    return min(model.max_tokens, model.window - capacity(model))


def _executors_capacity(config: AgentConfig) -> int:
    """As `capacity` of the executor's model, without making that anew: it is asked for at every step."""
    model = config.models.executor
    window = min(model.window, config.limits.step_tokens)
    return max(window - model.max_tokens, window // 2)


def message_max(model: ModelRef) -> int:
    """Tokens that one message of many may have: no single one can fill the prompt."""
    return int(capacity(model) * MARGIN) // SHARE


def result_max(config: AgentConfig) -> tuple[int, int]:
    """Characters, and estimated tokens, above which a tool's result is stored apart.

    The tokens are a little less than one message may have, so that what is not stored apart need not be cut.
    """
    return config.context.result_max, int(_executors_capacity(config) * MARGIN) // SHARE * 9 // 10


def correction(steps: Sequence[Step]) -> float:
    """By how much estimates are to be multiplied, as the latest executor's call showed; 1 before the first."""
    return _correction(_latest_use(steps))


def _correction(use: dict[str, Any]) -> float:
    if not use.get("estimated") or not use.get("counted"):
        return 1.0
    lowest, highest = CORRECTIONS
    return float(min(max(use["counted"] / use["estimated"], lowest), highest))


def fold_until(config: AgentConfig, steps: Sequence[Step], calls: Sequence[ToolCall]) -> int:
    """The number of the step up to which a summary should reach now; 0 where none is due.

    One is due when the executor's next prompt would fill `context.summarise_at` of its capacity, and enough old words
    are left to fold. The latest turn always stays as it is.
    """
    use = _latest_use(steps)
    if not use:
        return 0
    limit = config.context.summarise_at * _executors_capacity(config)
    factor, latest = _correction(use), _latest_turn(steps)
    spent = use["estimated"] * factor
    of_turn = [call for call in calls if call.step_id == latest.pk]
    # A result that stays below its limit has few tokens: most runs need no closer look.
    if spent + factor * (2 * len(of_turn) * result_max(config)[1] + 2 * len(latest.payload["text"])) < limit:
        return 0
    sizes = _sizes(steps, calls)
    if spent + factor * sum(size for seq, size in sizes if seq >= latest.seq) < limit:
        return 0
    room, until = KEPT * limit, 0
    for seq, size in reversed(sizes):
        room -= factor * size
        if room < 0 and seq < latest.seq:
            until = seq
            break
    if until == 0:
        return 0
    turns = [step.seq for step in steps if step.kind == StepKind.MODEL]
    until = min(seq for seq in turns if seq > until) - 1  # what follows a summary begins with a turn
    folded = factor * sum(size for seq, size in sizes if seq <= until)
    return until if folded >= WORTH * limit else 0


def _sizes(steps: Sequence[Step], calls: Sequence[ToolCall]) -> list[tuple[int, int]]:
    """Step number and estimated tokens, of each step after the latest summary."""
    by_step: dict[int, int] = {}
    for call in calls:
        size = (
            CALL
            + MESSAGE
            + estimate(call.tool + json.dumps([call.arguments, call.result], ensure_ascii=False))
        )
        by_step[call.step_id] = by_step.get(call.step_id, 0) + size
    return [
        (step.seq, MESSAGE + estimate(_words(step)) + by_step.get(step.pk, 0))
        for step in steps
        if step.seq > folded_until(steps) and step.kind not in (StepKind.SUMMARY, StepKind.RECALL)
    ]


def folded_until(steps: Sequence[Step]) -> int:
    """The number of the step up to which the latest summary reaches; 0 without one."""
    return max((step.payload["until"] for step in steps if step.kind == StepKind.SUMMARY), default=0)


def _words(step: Step) -> str:
    return str(step.payload.get("text") or step.payload.get("feedback") or "")


def _latest_turn(steps: Sequence[Step]) -> Step:
    return next(step for step in reversed(steps) if step.kind == StepKind.MODEL)


def _latest_use(steps: Sequence[Step]) -> dict[str, Any]:
    """What the executor's latest prompt filled; empty where none was sent since the latest summary."""
    since = takewhile(lambda step: step.kind != StepKind.SUMMARY, reversed(steps))
    turn = next((step for step in since if step.kind == StepKind.MODEL), None)
    return dict(turn.payload.get("context") or {}) if turn else {}
