"""What a run and its calls came to, in words that somebody understands at three in the morning."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from agents.handover import granted_tools, in_words
from agents.models import Run, Step, StepKind, ToolCall
from agents.queries import may_change
from agents.states import CallStatus, RunStatus
from agents.tools.spec import Tool
from agents.undoing import Undo, undo_tools, undoable
from approvals.states import ApprovalStatus
from traces.models import Event, Span, SpanStatus

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
    undo: Undo | None  # that can be asked for, or was


@dataclass(frozen=True, slots=True)
class StepStory:
    """A step with its calls; `open` while one of them may still change."""

    step: Step
    title: str
    calls: list[CallStory]
    open: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for something, when and why."""

    who: str
    at: datetime
    reason: str


def run_state(run: Run) -> tuple[str, str]:
    """Tone and words for where the run stands."""
    return RUN_WORDS[run.status]


def tell_steps(run: Run, steps: list[Step]) -> list[StepStory]:
    """The steps as a person reads them. `steps` come from `run_steps`."""
    tools = granted_tools(run)
    undos = undos_of(run, steps)
    return [
        StepStory(
            step=step,
            title=title_of(step, run),
            calls=[_tell_call(call, tools, undos.get(call.pk)) for call in step.tool_calls.all()],
            open=may_change(step),
        )
        for step in steps
    ]


def undos_of(run: Run, steps: list[Step]) -> dict[UUID, Undo]:
    """Which calls of these steps can be taken back, or were."""
    done = [call for step in steps for call in step.tool_calls.all() if call.status == CallStatus.SUCCEEDED]
    return undoable(done, undo_tools(run)) if any(call.effect != "read" for call in done) else {}


def undoes(steps: list[Step]) -> str:
    """The id of the run whose calls these steps take back; empty where they don't."""
    return str(steps[0].payload.get("undoes_run", "")) if steps and steps[0].kind == StepKind.CALL else ""


def plan_goal(steps: list[Step]) -> str:
    """What the plan in force is for, in the agent's words; empty without a plan."""
    plans = [step for step in steps if step.kind == StepKind.PLAN]
    return str(plans[-1].payload.get("goal", "")) if plans else ""


def asked_by(run: Run) -> Asked | None:
    """Who cancelled or paused the run, where that is why it stands where it stands."""
    names = {
        RunStatus.CANCELLED: "run.cancel_requested",
        RunStatus.PAUSED: "run.pause_requested",
    }
    name = f"run.{run.requested}_requested" if run.requested else names.get(RunStatus(run.status))
    event = Event.objects.filter(run_id=run.pk, name=name).order_by("-pk").first() if name else None
    if event is None:
        return None
    return Asked(event.actor.partition(":")[2] or event.actor, event.at, event.data.get("reason", ""))


def unpriced_models(run: Run) -> list[str]:
    """The models whose calls are in no cost, because no price of them is known."""
    calls = Span.objects.filter(trace_id=run.trace_id, run_id=run.pk, operation="chat", cost_usd=None)
    named = calls.exclude(status=SpanStatus.ERROR).values_list("provider", "model").distinct()
    return sorted(f"{provider}:{model}" for provider, model in named)


def title_of(step: Step, run: Run) -> str:
    """What a step of this run was, in a line."""
    payload, calls = step.payload, len(step.tool_calls.all())
    match step.kind:
        case StepKind.PLAN:
            return "Made a plan"
        case StepKind.MODEL if calls:
            return "Proposed 1 call" if calls == 1 else f"Proposed {calls} calls"
        case StepKind.MODEL:
            return "Answered"
        case StepKind.OBSERVE:
            return f"Checked its work: {payload['verdict']}"
        case StepKind.ANSWER:
            return f"{payload.get('by') or 'A person'} answered"
        case StepKind.ROUTE:
            return f"Chose the way: {payload.get('route') or payload.get('path', '')}"
        case StepKind.DELEGATE:
            return f"Handed out {_parts(payload)} of the task"
        case StepKind.GATHER:
            return f"Took over what came of {_parts(payload)}"
        case StepKind.RECALL:
            found = len(payload.get("memories", ()))
            return f"Remembered {found} thing{'' if found == 1 else 's'}" if found else "Remembered nothing"
        case StepKind.SUMMARY:
            return "Made room: summarised what was said before"
        case StepKind.VERIFY:
            return "Its answer was stopped: it states what nothing bears out"
        case StepKind.MESSAGE:
            return f"{payload.get('by') or 'Somebody'} said something to it"
        case StepKind.CALL if payload.get("undoes"):
            return "Takes back what was done"
        case StepKind.CALL:
            if not payload.get("via"):
                return "A call without a model"
            return f"{run.started_by or 'Another program'} called a tool through the gateway"
        case StepKind.STEER:
            return f"{_who(payload.get('by', ''))} changed the plan: {payload.get('action', '')}"
    return str(step.kind)


def _who(actor: str) -> str:
    """A person by name; a program as whose token it used."""
    kind, _, name = actor.partition(":")
    return f"{name} (by token)" if kind == "token" else name or actor or "Somebody"


def _parts(payload: dict[str, Any]) -> str:
    count = len(payload.get("parts", ()))
    return "1 part" if count == 1 else f"{count} parts"


def _tell_call(call: ToolCall, tools: Mapping[str, Tool], undo: Undo | None) -> CallStory:
    tone, state = CALL_WORDS[call.status]
    approval = call.approval
    return CallStory(
        call=call,
        words=in_words(call, tools),
        tone=tone,
        state=state,
        asked=APPROVAL_WORDS[approval.status] if approval is not None else "",
        trouble=call.error or _message(call.result),
        changes=_edits(call),
        undo=undo,
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
