"""What a run and its calls came to, in words that somebody understands at three in the morning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.exceptions import BadConfig
from agents.models import Run, Step, StepKind, ToolCall
from agents.queries import may_change
from agents.states import CallStatus, RunStatus
from agents.tools.registry import tools_of
from agents.tools.spec import Tool
from approvals.models import Kind
from approvals.states import ApprovalStatus

# The tone is a CSS class: `quiet` says nothing, `asks` wants a person, `good` is done, `bad` went wrong.
RUN_WORDS: Mapping[str, tuple[str, str]] = {
    RunStatus.QUEUED: ("quiet", "Waits for a worker"),
    RunStatus.RUNNING: ("quiet", "At work"),
    RunStatus.WAITING_APPROVAL: ("asks", "Waits for a decision"),
    RunStatus.WAITING_INPUT: ("asks", "Waits for an answer"),
    RunStatus.WAITING_RETRY: ("quiet", "Tries again soon"),
    RunStatus.WAITING_RUNS: ("quiet", "Waits for the runs it started"),
    RunStatus.PAUSED: ("asks", "Paused"),
    RunStatus.COMPLETED: ("good", "Completed"),
    RunStatus.ESCALATED: ("asks", "Handed over to people"),
    RunStatus.FAILED: ("bad", "Failed"),
    RunStatus.CANCELLED: ("quiet", "Cancelled"),
    RunStatus.LOOP_DETECTED: ("bad", "Stopped: it repeated itself"),
    RunStatus.LIMIT_EXCEEDED: ("bad", "Stopped: a limit was reached"),
}
CALL_WORDS: Mapping[str, tuple[str, str]] = {
    CallStatus.PROPOSED: ("quiet", "Proposed"),
    CallStatus.REFUSED: ("bad", "Refused, not done"),
    CallStatus.PENDING_APPROVAL: ("asks", "Waits for a decision"),
    CallStatus.APPROVED: ("quiet", "Allowed, not done yet"),
    CallStatus.DENIED: ("bad", "Denied, not done"),
    CallStatus.EXPIRED: ("bad", "Expired, not done"),
    CallStatus.WITHDRAWN: ("quiet", "Withdrawn, not done"),
    CallStatus.CANCELLED: ("quiet", "Cancelled, not done"),
    CallStatus.EXECUTING: ("quiet", "Being done"),
    CallStatus.SUCCEEDED: ("good", "Done"),
    CallStatus.FAILED: ("bad", "Failed, changed nothing"),
    CallStatus.UNKNOWN: ("asks", "Nobody knows whether it was done"),
    CallStatus.RECONCILED: ("quiet", "Settled by a person"),
}
APPROVAL_WORDS: Mapping[str, str] = {
    ApprovalStatus.PENDING: "Waits for a decision",
    ApprovalStatus.APPROVED: "Approved",
    ApprovalStatus.DENIED: "Rejected",
    ApprovalStatus.EXPIRED: "Nobody decided in time",
    ApprovalStatus.WITHDRAWN: "Withdrawn",
    ApprovalStatus.CANCELLED: "Cancelled with its run",
    ApprovalStatus.ANSWERED: "Answered",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A field that a person changed before the call ran."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class CallStory:
    """A tool call with what is said about it."""

    call: ToolCall
    words: str
    tone: str
    state: str
    asked: str  # how the request to people stands; empty where nobody was asked
    trouble: str  # why it was not done, or not as it should be
    changes: list[Change]


@dataclass(frozen=True, slots=True)
class StepStory:
    """A step with its calls; `open` while one of them may still change."""

    step: Step
    calls: list[CallStory]
    open: bool


def run_state(run: Run) -> tuple[str, str]:
    """Tone and words for where the run stands."""
    return RUN_WORDS[run.status]


def tell_steps(run: Run, steps: list[Step]) -> list[StepStory]:
    """The steps as a person reads them. `steps` come from `run_steps`."""
    tools = _tools(run)
    return [
        StepStory(
            step=step,
            calls=[_tell_call(call, tools.get(call.tool)) for call in step.tool_calls.all()],
            open=may_change(step),
        )
        for step in steps
    ]


def plan_of(steps: list[Step]) -> Step | None:
    """The latest plan among these steps."""
    plans = [step for step in steps if step.kind == StepKind.PLAN]
    return plans[-1] if plans else None


def _tell_call(call: ToolCall, tool: Tool | None) -> CallStory:
    tone, state = CALL_WORDS[call.status]
    approval = call.approval
    if approval is not None and approval.kind == Kind.ACTION:
        words = approval.title
    else:
        words = tool.in_words(call.arguments) if tool else f"Call {call.tool}"
    return CallStory(
        call=call,
        words=words,
        tone=tone,
        state=state,
        asked=APPROVAL_WORDS[approval.status] if approval is not None else "",
        trouble=call.error or _message(call.result),
        changes=_edits(call),
    )


def _message(result: Any) -> str:
    """What the agent was told instead of a result."""
    if isinstance(result, dict) and result.get("type") != "success":
        return str(result.get("message", ""))
    return ""


def _edits(call: ToolCall) -> list[Change]:
    """What people changed between what was asked and what stands."""
    if call.approval is None or call.approval.revision == 1:
        return []
    first = min(call.approval.revisions.all(), key=lambda revision: revision.number)
    before, after = first.arguments, call.approval.arguments
    names = [*after, *(name for name in before if name not in after)]
    return [
        Change(field=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _tools(run: Run) -> dict[str, Tool]:
    try:
        return tools_of(run.version.parsed)
    except BadConfig:
        return {}  # a tool of an old version is gone: its calls are told by name
