"""Taking back what a run did: each call by the compensation that its tool names, through the gate like any call.

A compensation is the one call of a run of its own, or one of several that follow each other, newest first. Its id is
made of the id of the call that it takes back, so that no two of them can ever be made for the same one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from django.db import transaction
from django.utils import timezone

from agents.exceptions import BadConfig, MissingRun, WrongState
from agents.handover import in_words
from agents.intake import queue_run
from agents.models import Agent, AgentVersion, Run, Step, StepKind, StoredResult, ToolCall
from agents.queries import get_run
from agents.runtime.sequence import call_of
from agents.runtime.versions import version_of
from agents.states import CallStatus, RunStatus
from agents.tools.registry import tools_of
from agents.tools.results import ResultType
from agents.tools.spec import Effect, Tool
from agents.tools.undo import NotTold, filled
from approvals.access import ADMIN, OPERATOR, Actor
from approvals.exceptions import NotAllowed
from traces.recorder import record

TRIES = 10  # to take one call back, where the ones before did nothing
MIDWAY = frozenset(
    {
        RunStatus.FAILED,
        RunStatus.CANCELLED,
        RunStatus.LIMIT_EXCEEDED,
        RunStatus.LOOP_DETECTED,
        RunStatus.ESCALATED,
    }
)
_DID_NOTHING = frozenset(
    {
        CallStatus.REFUSED,
        CallStatus.DENIED,
        CallStatus.EXPIRED,
        CallStatus.WITHDRAWN,
        CallStatus.CANCELLED,
        CallStatus.FAILED,
    }
)


class State(StrEnum):
    """How it stands with taking a call back."""

    OFFERED = "offered"  # it can be asked for
    ASKED = "asked"  # it is under way
    UNDONE = "undone"
    UNCLEAR = "unclear"  # it was tried, and a person could not say what came of it


@dataclass(frozen=True, slots=True)
class Undo:
    """A call that can be taken back, or was."""

    call: ToolCall
    tool: Tool  # that takes it back
    state: State
    latest: ToolCall | None = None  # that was to take it back
    tries: int = 0  # so far


def undoable(calls: Sequence[ToolCall], tools: Mapping[str, Tool]) -> dict[UUID, Undo]:
    """The calls that succeeded and have a compensation, by id, in their order. `tools`: those of `undo_tools`."""
    tool_of = {
        call.pk: tools[template[0]]
        for call in calls
        if call.status == CallStatus.SUCCEEDED
        and call.effect != Effect.READ
        and call.tool in tools
        and (template := tools[call.tool].undo)
        and template[0] in tools
    }
    ids = {_id(call, number): call for call in tool_of for number in range(TRIES)}
    tried: dict[UUID, list[ToolCall]] = {}
    for row in ToolCall.objects.filter(pk__in=ids).select_related("run").order_by("created_at"):
        tried.setdefault(ids[row.pk], []).append(row)
    return {
        call.pk: _undo(call, tool_of[call.pk], tried.get(call.pk, [])) for call in calls if call.pk in tool_of
    }


def undo_tools(run: Run) -> dict[str, Tool]:
    """The tools that the run's agent is granted now: with these, and by its policy of now, calls are taken back.

    None for a rehearsal, which did nothing.
    """
    version = None if run.rehearsal else _live(run)
    try:
        return tools_of(version.parsed) if version else {}
    except BadConfig:  # a tool of it is gone since
        return {}


def undo_call(call_id: UUID, *, actor: Actor) -> Run:
    """Have a call taken back; the run that does it. Raises NotAllowed, MissingRun, WrongState."""
    call = ToolCall.objects.select_related("run").filter(pk=call_id).first()
    if call is None:
        raise MissingRun(f"There is no call {call_id} that you may see.")
    run = get_run(call.run_id, actor=actor)
    _require_may_undo(actor)
    with transaction.atomic():
        tools, undos = _locked(run, ToolCall.objects.filter(pk=call_id))
        if call_id not in undos:
            raise WrongState(_not_undoable(call, tools))
        undo = undos[call_id]
        if undo.state != State.OFFERED:
            raise WrongState(f"This can't be undone again: {in_words(call, tools)} is {undo.state} already.")
        return _start(run, [undo], tools, actor=actor, text=f"Undo: {in_words(undo.call, tools)}")


def undo_run(run_id: UUID, *, actor: Actor) -> Run:
    """Have all taken back that a run did and that can be, newest first, each after the one before it; it stops at the
    first that is denied or fails. The run that does it. Raises NotAllowed, MissingRun, WrongState.
    """
    run = get_run(run_id, actor=actor)
    _require_may_undo(actor)
    with transaction.atomic():
        if run.status not in MIDWAY:
            raise WrongState(f"Run {run.pk} is {run.status}: undo its calls one by one.")
        tools, undos = _locked(run, ToolCall.objects.filter(run=run, status=CallStatus.SUCCEEDED))
        if asked := next((undo for undo in undos.values() if undo.state == State.ASKED), None):
            raise WrongState(f"{in_words(asked.call, tools)} is being undone: wait for that.")
        those = offered(undos)
        if not those:
            raise WrongState(f"Nothing that run {run.pk} did can be undone any more.")
        what = "1 call" if len(those) == 1 else f"{len(those)} calls"
        return _start(run, those, tools, actor=actor, text=f"Roll back {what} of: {run.input}")


def offered(undos: Mapping[UUID, Undo]) -> list[Undo]:
    """Those that can be asked for, the one that ended last first."""
    those = [undo for undo in undos.values() if undo.state == State.OFFERED]
    return sorted(those, key=lambda undo: undo.call.ended_at or undo.call.created_at, reverse=True)


def _locked(run: Run, calls: Any) -> tuple[dict[str, Tool], dict[UUID, Undo]]:
    """The calls that can be taken back, held so that nobody else asks for it at the same time."""
    if run.rehearsal:
        raise WrongState(
            f"Run {run.pk} is a rehearsal: nothing of it reached the world, so nothing is to be undone."
        )
    tools = undo_tools(run)
    rows = list(
        calls.select_for_update(of=("self",)).select_related("run", "step", "approval").order_by("pk")
    )
    return tools, undoable(rows, tools)


def _start(run: Run, undos: Sequence[Undo], tools: Mapping[str, Tool], *, actor: Actor, text: str) -> Run:
    version, now = _live(run), timezone.now()
    assert version is not None  # it has the tools
    given = [_given(undo, tools) for undo in undos]
    taking_back = queue_run(
        version=version,
        input=text,
        now=now,
        actor=actor,
        subject=run.subject,
        taint_sources=run.taint_sources,  # the arguments come from what it read
        started_by=actor.user,
        simulated=run.simulated,
        fence=1,  # it has been begun: its first step stands
    )
    payload = {"text": "", "via": "", "calls": 1, **given[0]["of"], "then": given[1:]}
    step = Step.objects.create(run=taking_back, seq=1, kind=StepKind.CALL, payload=payload, created_at=now)
    call_of(taking_back, step, given[0]).save(force_insert=True)
    for undo in undos:
        record(
            "tool_call.undo_asked",
            actor=str(actor),
            object_id=undo.call.pk,
            run_id=run.pk,
            data={"tool": undo.call.tool, "by": undo.tool.name, "run": str(taking_back.pk)},
        )
    return taking_back


def _given(undo: Undo, tools: Mapping[str, Tool]) -> dict[str, Any]:
    call, template = undo.call, tools[undo.call.tool].undo
    assert template is not None
    try:
        arguments = filled(template[1], {"arguments": call.arguments, "result": _data(call)})
    except NotTold as error:
        raise WrongState(f"{in_words(call, tools)}: it can't be undone by itself. {error}") from error
    return {
        "id": str(_id(call.pk, undo.tries)),
        "tool": undo.tool.name,
        "arguments": arguments,
        "of": {"undoes": str(call.pk), "undoes_run": str(call.run_id)},
    }


def _data(call: ToolCall) -> Any:
    """What the call returned, whole."""
    result = call.result or {}
    if not result.get("reference"):
        return result.get("data")
    text = StoredResult.objects.values_list("text", flat=True).get(call=call)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _undo(call: ToolCall, tool: Tool, tried: list[ToolCall]) -> Undo:
    state = State.OFFERED
    for row in tried:
        if row.status in _DID_NOTHING:
            continue
        state = State.ASKED
        if row.status in (CallStatus.SUCCEEDED, CallStatus.RECONCILED):
            done = (row.result or {}).get("type") == ResultType.SUCCESS
            state = State.UNDONE if done else State.UNCLEAR
    if state == State.OFFERED and len(tried) >= TRIES:
        state = State.UNCLEAR
    return Undo(call, tool, state, tried[-1] if tried else None, len(tried))


def _not_undoable(call: ToolCall, tools: Mapping[str, Tool]) -> str:
    if call.status != CallStatus.SUCCEEDED:
        return f"The call of {call.tool} is {call.status}: there is nothing to undo."
    undo = tools[call.tool].undo if call.tool in tools else None
    if undo:
        return f"{call.tool} is undone by {undo[0]}, which the agent no longer has."
    return f"No tool is named that undoes {call.tool}: name it with `undo` in the agent's file."


def _require_may_undo(actor: Actor) -> None:
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Undoing needs the role operator or admin; ask an admin for it.")


def _live(run: Run) -> AgentVersion | None:
    live = Agent.objects.filter(pk=run.version.agent_id).values_list("live_version", flat=True).first()
    return version_of(live) if live else None


def _id(call: UUID, number: int) -> UUID:
    return uuid5(call, f"undo {number}")
