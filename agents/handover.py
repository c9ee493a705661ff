"""Handing a run over to people: all that somebody needs who goes on where the agent stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.exceptions import BadConfig
from agents.models import Run, Step, StepKind, ToolCall
from agents.queries import run_steps
from agents.runtime.decide.progress import progress
from agents.states import CallStatus, RunStatus
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.models import Approval, Kind
from approvals.states import ApprovalStatus

HANDED_OVER = frozenset(
    {RunStatus.ESCALATED, RunStatus.FAILED, RunStatus.LOOP_DETECTED, RunStatus.LIMIT_EXCEEDED}
)
FOUND_ITEMS = 8  # of what was looked up, the latest
RESULT_CHARS = 600


@dataclass(frozen=True, slots=True)
class Deed:
    """A tool call in words, and what came of it."""

    call: ToolCall
    words: str
    result: str  # what came back, or why it was not done


@dataclass(frozen=True, slots=True)
class HandOver:
    """A run for the person who takes it over."""

    asked: str
    on_behalf_of: Mapping[str, Any]
    why: str  # it stopped
    done: list[Deed]  # effects on the world, with what came of them
    found: list[Deed]  # what it looked up, the latest
    in_doubt: list[Deed]  # nobody knows whether these were done
    not_done: list[Deed]  # turned down, failed or left
    open_steps: list[str]  # of the plan
    unsupported: list[str]  # what its last answer states and nothing that it read bears out
    last_words: str  # of the agent
    assessment: str  # what its observer said last, in the agent's words too
    people_said: list[str]  # questions of the agent with their answers
    next: list[str]  # what a person can do


def hand_over(run: Run, steps: Sequence[Step] | None = None) -> HandOver:
    """The hand-over of a run; `steps` as `run_steps` returns them, where they are at hand."""
    steps = run_steps(run) if steps is None else steps
    tools = granted_tools(run)
    deeds = [_deed(call, tools) for step in steps for call in step.tool_calls.all()]
    by_status: dict[str, list[Deed]] = {}
    for deed in deeds:
        by_status.setdefault(deed.call.status, []).append(deed)
    succeeded = by_status.get(CallStatus.SUCCEEDED, [])
    accounted = {CallStatus.SUCCEEDED, CallStatus.RECONCILED, CallStatus.UNKNOWN}
    observed = [step.payload for step in steps if step.kind == StepKind.OBSERVE]
    texts = [step.payload["text"] for step in steps if step.kind == StepKind.MODEL]
    last_words = next((text for text in reversed(texts) if text.strip()), "")
    in_doubt = by_status.get(CallStatus.UNKNOWN, [])
    not_done = [deed for deed in deeds if deed.call.status not in accounted]
    return HandOver(
        asked=run.input,
        on_behalf_of=run.subject,
        why=run.reason,
        done=[deed for deed in succeeded if deed.call.effect != "read"]
        + by_status.get(CallStatus.RECONCILED, []),
        found=_distinct([deed for deed in succeeded if deed.call.effect == "read"])[-FOUND_ITEMS:],
        in_doubt=in_doubt,
        not_done=not_done,
        open_steps=_open_steps(steps),
        unsupported=unsupported(steps, said=last_words),
        last_words=last_words,
        assessment=str(observed[-1]["summary"]) if observed else "",
        people_said=[
            f"{step.payload.get('question', '')} {step.payload['by']}: {step.payload['text']}".strip()
            for step in steps
            if step.kind == StepKind.ANSWER
        ],
        next=_advice(run, in_doubt=bool(in_doubt), denied=bool(by_status.get(CallStatus.DENIED))),
    )


def granted_tools(run: Run) -> dict[str, Tool]:
    """The tools of the run's version; none where one of them is gone since."""
    try:
        return tools_of(run.version.parsed)
    except BadConfig:
        return {}


def in_words(call: ToolCall, tools: Mapping[str, Tool]) -> str:
    """What a call does, as people were shown it, or as its tool says it."""
    if call.approval is not None and call.approval.kind == Kind.ACTION:
        return call.approval.title
    tool = tools.get(call.tool)
    return tool.in_words(call.arguments) if tool else f"Call {call.tool}"


def unsupported(steps: Sequence[Step], *, said: str) -> list[str]:
    """What was found in the run's answers that nothing bore out, and what it said last still says; else all of it."""
    found = [
        item["text"] for step in steps if step.kind == StepKind.VERIFY for item in step.payload["findings"]
    ]
    each = list(dict.fromkeys(found))
    return [text for text in each if text in said] or each


def _deed(call: ToolCall, tools: Mapping[str, Tool]) -> Deed:
    result = call.result if isinstance(call.result, dict) else {}
    told = result.get("message") or result.get("data")
    text = call.error if told is None else told if isinstance(told, str) else _plain(told)
    words = in_words(call, tools)
    if call.arguments and words == f"Call {call.tool}":  # a tool without words of its own
        words = _cut(f"{words} ({_plain(call.arguments)})")
    return Deed(call=call, words=words, result=_cut(text))


def _distinct(deeds: list[Deed]) -> list[Deed]:
    """The same lookup with the same result once, where it came last."""
    latest: dict[tuple[str, str], Deed] = {}
    for deed in deeds:
        latest.pop((deed.words, deed.result), None)
        latest[deed.words, deed.result] = deed
    return list(latest.values())


def _plain(data: Any) -> str:
    """Data in a line, as people write it."""
    if isinstance(data, dict):
        return ", ".join(f"{name}: {_plain(value)}" for name, value in data.items())
    if isinstance(data, list):
        return "; ".join(_plain(value) for value in data)
    return "none" if data is None else str(data)


def _cut(text: str) -> str:
    return text if len(text) <= RESULT_CHARS else f"{text[:RESULT_CHARS]}…"


def _open_steps(steps: Sequence[Step]) -> list[str]:
    return [step.title for step in progress(steps) if step.state in ("pending", "current")]


def _advice(run: Run, *, in_doubt: bool, denied: bool) -> list[str]:
    advice = []
    pending = Approval.objects.filter(run_id=run.pk, status=ApprovalStatus.PENDING).exists()
    if in_doubt or pending:
        advice.append("Settle what is in doubt in the inbox, before anything is done again.")
    match run.status:
        case RunStatus.LIMIT_EXCEEDED:
            advice.append("Finish what is open by hand, or start it again with a narrower task.")
            advice.append("If tasks like this one need more, an admin can raise the limit of the agent.")
        case RunStatus.LOOP_DETECTED:
            advice.append(
                "Find out why the repeated call brings nothing new, then start again with what was missing."
            )
        case RunStatus.FAILED:
            advice.append("Look in the trace what failed; once that works, start it again.")
        case RunStatus.ESCALATED:
            advice.append("Check what was found, and finish the task by hand or start it again with a note.")
    if denied:
        advice.append("What was denied stays undone: do it by hand only if the refusal no longer holds.")
    advice.append("Starting again repeats nothing by itself: say in the note what is done already.")
    return advice
