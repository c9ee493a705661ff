"""Rehearsals, as people and programs ask for them: replay a run, fork it from a step, play a case of a suite.

Each makes a run like any other, but that nothing of it reaches the world: see `agents.runtime.rehearsing`. Its models
are asked in earnest, and cost what they cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from pydantic import ValidationError

from agents.actions import check_input
from agents.exceptions import BadConfig, BadInput, WrongState
from agents.hidden import hidden_from
from agents.intake import queue_run
from agents.memory.scratchpad import WRITE_NOTE
from agents.memory.stored_results import set_apart
from agents.models import (
    AgentVersion,
    Note,
    Rehearsal,
    RehearsalKind,
    Run,
    Step,
    StepKind,
    StoredResult,
    ToolCall,
)
from agents.queries import get_run
from agents.runtime.decide import Finish, next_action
from agents.runtime.lineage import STARTERS
from agents.runtime.rehearsing import RULE, rehearsed_config, results_of, with_model
from agents.runtime.stretch import Stretch
from agents.runtime.versions import version_of
from agents.runtime.window import result_max
from agents.states import FINAL_CALL, FINAL_RUN, CallStatus, RunStatus
from agents.tools.registry import tools_of
from agents.tools.results import ResultType
from agents.tools.spec import Effect
from approvals.access import ADMIN, OPERATOR, SERVICE, Actor
from approvals.exceptions import NotAllowed
from traces.recorder import record
from traces.storable import storable

# Nothing of such a run moves while it is copied.
STILL = FINAL_RUN | {RunStatus.WAITING_APPROVAL, RunStatus.WAITING_INPUT, RunStatus.PAUSED}
EVENTS = {
    RehearsalKind.REPLAY: "run.replayed",
    RehearsalKind.FORK: "run.forked",
    RehearsalKind.CASE: "run.made_a_case",
}


Told = tuple[ToolCall, dict[str, Any] | None]  # a call, and what it was told


@dataclass(frozen=True, slots=True)
class OtherResult:
    """What a call is told in a fork, instead of what it was told."""

    call: UUID
    data: Any


def rehearse(
    *,
    version: AgentVersion,
    input: str,
    actor: Actor | None,
    now: datetime,
    kind: str,
    of: Run | None = None,
    subject: dict[str, Any] | None = None,
    answers: dict[str, list[Any]] | None = None,
    live_reads: bool = False,
    from_step: int | None = None,
    changes: dict[str, Any] | None = None,
    success: dict[str, Any] | None = None,
    task_type: str = "",
    budget: dict[str, Any] | None = None,
    taint_sources: Sequence[str] = ("input",),
    begun: bool = False,
) -> Run:
    """Queue a run of `version` of which nothing reaches the world.

    A call is answered with the next of `answers`, which are by tool and in order: the data that it returns, or a whole
    result (`{"type": "not_found", "message": "..."}`). Without one it is answered as `of` was, whose calls of the same
    arguments count in order. Else a read is made where `live_reads` allows it, behind the gate; an effect is taken as
    if it had been done (`withheld`), and in a replay the agent is told that the call is not in the recording.
    `begun`: it is given steps before the transaction of its maker ends. `actor` is None for who has the host.
    Raises NotAllowed, BadInput, WrongState.
    """
    if actor is not None and not actor.roles & {OPERATOR, ADMIN, SERVICE}:
        raise NotAllowed("Rehearsing needs the role operator or admin; ask an admin for it.")
    _require_rehearsable(version)
    if of is not None and actor is not None:
        _require_sees_all(of, actor)
    check_input(version, input)
    with transaction.atomic():
        run = queue_run(
            version=version,
            input=input,
            now=now,
            actor=actor,
            rehearsal=True,
            subject=storable(subject or {}),
            started_by=actor.user if actor else None,
            success=success,
            task_type=task_type,
            budget=budget,
            taint_sources=list(taint_sources),
            fence=1 if begun else 0,  # its first claim then finds the steps
        )
        Rehearsal.objects.create(
            run=run,
            of=of,
            kind=kind,
            from_step=from_step,
            changes=storable({**(changes or {}), **({"live_reads": True} if live_reads else {})}),
            answers=storable(answers or {}),
            created_by=actor.user if actor else None,
            created_at=now,
        )
        if of is not None:
            record(
                EVENTS[RehearsalKind(kind)],
                actor=str(actor or "system"),
                object_id=of.pk,
                run_id=of.pk,
                data={"by": str(run.pk)} | ({} if from_step is None else {"step": from_step}),
            )
    return run


def replay_run(run_id: UUID, *, actor: Actor) -> Run:
    """Run the same task again, with each call answered as it was. Raises NotAllowed, MissingRun, WrongState."""
    of, steps = _rehearsable(run_id, actor)
    remembered = steps[:1] if steps and steps[0].kind == StepKind.RECALL else []
    with transaction.atomic():
        run = rehearse(
            version=of.version,
            input=of.input,
            actor=actor,
            now=timezone.now(),
            kind=RehearsalKind.REPLAY,
            of=of,
            subject=of.subject,
            taint_sources=[source for source in of.taint_sources if not source.startswith("tool:")],
            **_columns(of),
        )
        _copy(run, remembered, [])
    return run


def fork_run(
    run_id: UUID,
    *,
    actor: Actor,
    step: int,
    instructions: str | None = None,
    model: str | None = None,
    input: str | None = None,
    result: OtherResult | None = None,
    live_reads: bool = False,
) -> Run:
    """Go on from a step of the run (0: from its beginning), with something changed. `model` is `provider:model`.

    Calls after that step are answered as they were where they are the same; see `rehearse` for all others.
    Raises NotAllowed, MissingRun, WrongState, and BadInput, which names the place.
    """
    of, steps = _rehearsable(run_id, actor)
    kept = [each for each in steps if each.seq <= step]
    told = [(call, result) for call, result in results_of(of) if call.step_id in {each.pk for each in kept}]
    calls = [call for call, _ in told]
    _check_step(step, len(steps), kept, calls)
    given = {"instructions": instructions, "model": model, "input": input}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    _check_changes(of.version, changes)
    if result is not None:
        if result.call not in {call.pk for call in calls}:
            last = ", ".join(str(call.pk) for call in calls[-3:])
            message = f"no call of steps 1 to {step} has this id; the last of them: {last or 'none'}"
            raise _bad(message, "result", "call")
        changes["result"] = {"call": str(result.call), "data": result.data}
    with transaction.atomic():
        run = rehearse(
            version=of.version,
            input=of.input if input is None else input,
            actor=actor,
            now=timezone.now(),
            kind=RehearsalKind.FORK,
            of=of,
            subject=of.subject,
            live_reads=live_reads,
            from_step=step,
            changes=changes,
            taint_sources=of.taint_sources,
            **_columns(of),
        )
        copied_steps, copied_calls = _copy(run, kept, told, result)
        if kept:
            _require_going_on(run, changes, copied_steps, copied_calls)
    return run


def rehearsals_of(runs: Sequence[Run]) -> dict[UUID, Rehearsal]:
    """What those of `runs` go by that are rehearsals; asks nothing where none is."""
    return Rehearsal.objects.in_bulk([run.pk for run in runs if run.rehearsal])


def may_be_rehearsed(run: Run) -> bool:
    """Whether pages offer it: the run is over, asked a model, and has no parts."""
    return run.is_final and bool(run.turns) and run.version.parsed.pattern not in STARTERS


def _rehearsable(run_id: UUID, actor: Actor) -> tuple[Run, list[Step]]:
    """The run, if it may be rehearsed by `actor` and can be, with its steps."""
    run = get_run(run_id, actor=actor)
    if not actor.roles & {OPERATOR, ADMIN, SERVICE}:
        raise NotAllowed("Replaying or forking a run needs the role operator or admin; ask an admin for it.")
    _require_sees_all(run, actor)
    if run.status not in STILL:
        raise WrongState(
            f"Run {run.pk} is {run.status}: it can be rehearsed once it is over, waits or is paused."
        )
    run.version = version_of(run.version_id)
    steps = list(Step.objects.filter(run=run).order_by("seq"))
    if (steps and steps[0].kind == StepKind.CALL) or run.version.parsed.pattern == "gateway":
        raise WrongState(f"Run {run.pk} is a call without a model: there is nothing to replay or fork.")
    _require_rehearsable(run.version)
    return run, steps


def _require_sees_all(run: Run, actor: Actor) -> None:
    """A person from whom some of a run is kept must not have it told anew."""
    if hidden := hidden_from(actor, [run.pk]).get(run.pk):
        rule = next(rule for rules in (*hidden.calls.values(), *hidden.rules.values()) for rule in rules)
        raise NotAllowed(
            f"Some of what run {run.pk} did is masked for you, by the rule: {rule}."
            f" To rehearse it, the role {rule.seen_by} is needed."
        )


def _require_rehearsable(version: AgentVersion) -> None:
    pattern = version.parsed.pattern
    if pattern in STARTERS:
        raise WrongState(
            f"{version.agent.name} is a {pattern}: runs that have parts can't be rehearsed. Rehearse a part."
        )
    if pattern == "gateway":
        raise WrongState(f"{version.agent.name} is a gateway, which asks no model.")


def _columns(of: Run) -> dict[str, Any]:
    """What the task of a run is beside its words."""
    return {"success": of.success, "task_type": of.task_type, "budget": of.budget, "begun": True}


def _check_step(step: int, last: int, kept: Sequence[Step], calls: Sequence[ToolCall]) -> None:
    if not 0 <= step <= last:
        raise _bad(f"the run has steps 1 to {last}; 0 is its beginning", "step")
    open_steps = [call.step_id for call in calls if call.status not in FINAL_CALL]
    if open_steps:
        first = min(each.seq for each in kept if each.pk in open_steps)
        message = f"the calls of step {first} have no results yet; choose a step from 0 to {first - 1}"
        raise _bad(message, "step")


def _check_changes(version: AgentVersion, changes: dict[str, Any]) -> None:
    if not changes.get("instructions", "any").strip():
        raise _bad("say what the agent is told, or leave this out", "instructions")
    if model := changes.get("model"):
        try:
            with_model(version.parsed.models.executor, model)
        except ValidationError as error:
            told = error.errors(include_url=False)[0]
            raise _bad(str(told["msg"]).removeprefix("Value error, "), "model") from error


def _copy(
    run: Run, steps: Sequence[Step], calls: Sequence[Told], other: OtherResult | None = None
) -> tuple[list[Step], list[ToolCall]]:
    """Give the run the steps and calls of another, as its own. No copy of a call has an effect, or an approval."""
    limit, now = result_max(run.version.parsed), run.created_at
    step_of = {
        step.pk: Step(run=run, seq=step.seq, kind=step.kind, payload=step.payload, created_at=now)
        for step in steps
    }
    Step.objects.bulk_create(step_of.values())
    copies: list[ToolCall] = []
    apart: list[StoredResult] = []
    for call, told in calls:
        copy, result = _copy_of(call, run, step_of[call.step_id]), told
        if other is not None and other.call == call.pk:
            result = {"type": ResultType.SUCCESS, "data": storable(other.data)}
            copy.status, copy.error, copy.claim_fence = CallStatus.SUCCEEDED, "", run.fence
            copy.effect = Effect.READ  # of a tool that nobody knew, too
        if result is not None:
            copy.result, row = set_apart(copy, result, limit=limit, now=now)
            apart += [row] if row else []
        copies.append(copy)
    ToolCall.objects.bulk_create(copies)
    StoredResult.objects.bulk_create(apart)
    Note.objects.bulk_create(_notes(run, [call for call, _ in calls]))
    return list(step_of.values()), copies


def _copy_of(call: ToolCall, run: Run, step: Step) -> ToolCall:
    return ToolCall(
        run=run,
        step=step,
        index=call.index,
        provider_call_id=call.provider_call_id,
        tool=call.tool,
        effect=call.effect and Effect.READ,
        proposed_arguments=call.proposed_arguments,
        arguments=call.arguments,
        status=call.status,
        digest=call.digest,
        rule=RULE,
        tainted=call.tainted,
        claim_fence=run.fence if call.claim_fence is not None else None,
        attempts=call.attempts,
        error=call.error,
        created_at=run.created_at,
        started_at=call.started_at and run.created_at,
        ended_at=run.created_at,
    )


def _notes(run: Run, calls: Sequence[ToolCall]) -> list[Note]:
    """The notes that the run had written by then: later ones of the same name took the place of earlier ones."""
    texts = {
        call.arguments["name"]: call.arguments["text"]
        for call in calls
        if call.tool == WRITE_NOTE and call.status == CallStatus.SUCCEEDED
    }
    return [Note(run=run, name=name, text=text, written_at=run.created_at) for name, text in texts.items()]


def _require_going_on(run: Run, changes: dict[str, Any], steps: list[Step], calls: list[ToolCall]) -> None:
    """Raise BadInput where the engine would only end the run."""
    try:
        config = rehearsed_config(run.version.parsed, changes)
        tools = tools_of(config)
    except BadConfig as error:
        raise WrongState(f"The agent's configuration can't be used any more: {error}") from error
    stretch = Stretch(run=run, config=config, tools=tools, steps=steps, calls=calls, knows_requests=True)
    action = next_action(stretch.snapshot())
    if isinstance(action, Finish):
        raise _bad(f"nothing comes after step {steps[-1].seq}: {action.reason} Choose an earlier one", "step")


def _bad(message: str, *path: str) -> BadInput:
    text = f"{message.rstrip('.')}."
    return BadInput(f"{'.'.join(path)}: {text}", errors=[{"path": list(path), "message": text}])
