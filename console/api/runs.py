"""Runs."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Prefetch
from django.http import HttpRequest
from ninja import Query, Router
from ninja.responses import Status
from pydantic import Field

from agents import actions
from agents.handover import HANDED_OVER, Deed, HandOver, hand_over
from agents.hidden import hidden_from
from agents.masking import hide_in_call, hide_in_runs, hide_in_steps
from agents.models import Rehearsal, RehearsalKind, Run, Step, StepKind, ToolCall
from agents.queries import find_runs, get_run, pending_approvals, run_steps
from agents.rehearsals import OtherResult, fork_run, rehearsals_of, replay_run
from agents.states import FINAL_RUN, CallStatus, RunStatus
from agents.steering import guide, steer_plan
from approvals.access import PEOPLE, Actor
from approvals.models import Approval
from approvals.states import ApprovalStatus
from approvals.unmasking import planted_beside
from console.api.auth import READ, RUN, actor_of
from console.api.idempotency import IdempotencyKey, create_once
from console.api.paging import PageQuery, page
from console.api.shapes import (
    Because,
    DeedOut,
    ForkIn,
    GuidanceIn,
    HandOverOut,
    PlanIn,
    RunIn,
    RunList,
    RunOut,
    RunStarted,
    StepList,
    StepOut,
    ToolCallList,
    ToolCallOut,
    Usage,
)
from console.api.waiting import Wait, wait_until
from console.people.roles import DOERS, require_any

router = Router(tags=["runs"], auth=READ)

SETTLED = FINAL_RUN | {RunStatus.WAITING_APPROVAL, RunStatus.WAITING_INPUT, RunStatus.PAUSED}


def is_settled(run: Run) -> bool:
    """Whether nothing moves before a person acts: of a run that waits for others, too, once one of them asks."""
    return run.status in SETTLED or (run.status == RunStatus.WAITING_RUNS and pending_approvals(run).exists())


class RunQuery(PageQuery):
    """Which runs."""

    agent: str = Field(default="", max_length=64, pattern=r"^[a-z0-9_-]*$")
    status: RunStatus | None = None


@router.post("", response={201: RunStarted}, auth=RUN, operation_id="start_run", summary="Start a run")
def start(request: HttpRequest, body: RunIn, idempotency_key: IdempotencyKey = "") -> Status[object]:
    """Queues a run of the agent's live version. What it says counts as written by an outsider."""
    actor = actor_of(request)
    require_any(actor, DOERS, to="start runs")

    def create() -> RunStarted:
        return _started(actions.start_run(**body.model_dump(), actor=actor))

    return create_once(request, idempotency_key, create)


@router.get("", response=RunList, operation_id="list_runs", summary="List runs")
def listing(request: HttpRequest, query: Query[RunQuery]) -> RunList:
    """Newest first; a service sees those that it started."""
    rows = find_runs(actor_of(request), agent=query.agent, status=query.status or "")
    found = page(rows, query, time="created_at")
    return RunList(items=shape_runs(found.rows, actor_of(request)), next=found.next)


@router.get("/{run_id}", response=RunOut, operation_id="get_run", summary="Read a run")
async def read(request: HttpRequest, run_id: UUID, wait: Wait = 0) -> RunOut:
    """With `wait`, answers when the status is final or a person is awaited, at the latest after so many seconds."""
    load = partial(_load, run_id, actor_of(request))
    run = await sync_to_async(load)()
    if wait and not await sync_to_async(is_settled)(run):
        await wait_until(lambda: is_settled(Run.objects.get(pk=run_id)), seconds=wait)
        return await sync_to_async(lambda: shape_run(load(), actor_of(request)))()
    return await sync_to_async(shape_run)(run, actor_of(request))


@router.get("/{run_id}/steps", response=StepList, operation_id="list_steps", summary="List a run's steps")
def steps(request: HttpRequest, run_id: UUID, query: Query[PageQuery]) -> StepList:
    """Oldest first."""
    run = get_run(run_id, actor=actor_of(request))
    calls = Prefetch("tool_calls", ToolCall.objects.order_by("index").only("id", "step_id"))
    found = page(
        Step.objects.filter(run=run).prefetch_related(calls), query, time="created_at", oldest_first=True
    )
    hidden = hidden_from(actor_of(request), [run.pk]).get(run.pk)
    items = [
        StepOut(
            seq=step.seq,
            kind=StepKind(step.kind),
            payload=hidden.scrubber.value(step.payload) if hidden else step.payload,
            tool_calls=[call.pk for call in step.tool_calls.all()],
            created_at=step.created_at,
        )
        for step in found.rows
    ]
    return StepList(items=items, next=found.next)


@router.get(
    "/{run_id}/tool-calls",
    response=ToolCallList,
    operation_id="list_tool_calls",
    summary="List a run's tool calls",
)
def tool_calls(request: HttpRequest, run_id: UUID, query: Query[PageQuery]) -> ToolCallList:
    """Oldest first."""
    run = get_run(run_id, actor=actor_of(request))
    rows = ToolCall.objects.filter(run=run).select_related("step")
    found = page(rows, query, time="created_at", oldest_first=True)
    if hidden := hidden_from(actor_of(request), [run.pk]).get(run.pk):
        for call in found.rows:
            hide_in_call(call, hidden)
    items = [
        ToolCallOut(
            id=call.pk,
            step=call.step.seq,
            tool=call.tool,
            effect=call.effect,
            status=CallStatus(call.status),
            arguments=call.arguments,
            proposed_arguments=call.proposed_arguments,
            digest=call.digest,
            rule=call.rule,
            tainted=call.tainted,
            approval=call.approval_id,
            attempts=call.attempts,
            result=call.result,
            fetched_at=call.fetched_at,
            created_at=call.created_at,
            started_at=call.started_at,
            ended_at=call.ended_at,
        )
        for call in found.rows
    ]
    return ToolCallList(items=items, next=found.next)


@router.post("/{run_id}/cancel", response=RunOut, auth=RUN, operation_id="cancel_run", summary="Cancel a run")
def cancel(request: HttpRequest, run_id: UUID, body: Because | None = None) -> RunOut:
    """It ends at its next step; what it still asked people is cancelled."""
    reason = body.reason if body else ""
    actor = actor_of(request)
    return shape_run(actions.cancel_run(run_id=run_id, actor=actor, reason=reason), actor)


@router.post("/{run_id}/pause", response=RunOut, auth=RUN, operation_id="pause_run", summary="Pause a run")
def pause(request: HttpRequest, run_id: UUID) -> RunOut:
    """It stops at its next step until it is resumed."""
    actor = actor_of(request)
    return shape_run(actions.pause_run(run_id=run_id, actor=actor), actor)


@router.post(
    "/{run_id}/guidance",
    response=RunOut,
    auth=RUN,
    operation_id="guide_run",
    summary="Say something to a run",
)
def guidance(
    request: HttpRequest, run_id: UUID, body: GuidanceIn, idempotency_key: IdempotencyKey = ""
) -> Status[object]:
    """Heard before its next model call: of a person as an operator's word, of a service as data."""
    actor = actor_of(request)

    def say() -> RunOut:
        return shape_run(guide(run_id=run_id, actor=actor, text=body.text), actor)

    return create_once(request, idempotency_key, say, status=200)


@router.post(
    "/{run_id}/plan", response=RunOut, auth=RUN, operation_id="steer_plan", summary="Steer a run's plan"
)
def plan(
    request: HttpRequest, run_id: UUID, body: PlanIn, idempotency_key: IdempotencyKey = ""
) -> Status[object]:
    """Has a step retried or skipped, or all planned anew, at the run's next step; `steps` shows what came of it."""
    actor = actor_of(request)

    def steer() -> RunOut:
        run = steer_plan(run_id=run_id, actor=actor, action=body.action, number=body.number)
        return shape_run(run, actor)

    return create_once(request, idempotency_key, steer, status=200)


@router.post("/{run_id}/resume", response=RunOut, auth=RUN, operation_id="resume_run", summary="Resume a run")
def resume(request: HttpRequest, run_id: UUID) -> RunOut:
    """Lets a paused run go on."""
    actor = actor_of(request)
    return shape_run(actions.resume_run(run_id=run_id, actor=actor), actor)


@router.post(
    "/{run_id}/replay",
    response={201: RunStarted},
    auth=RUN,
    operation_id="replay_run",
    summary="Replay a run",
)
def replay(request: HttpRequest, run_id: UUID, idempotency_key: IdempotencyKey = "") -> Status[object]:
    """The same task again, with each tool call answered as it was; nothing of it reaches the world."""
    actor = actor_of(request)
    return create_once(request, idempotency_key, lambda: _started(replay_run(run_id, actor=actor)))


@router.post(
    "/{run_id}/fork", response={201: RunStarted}, auth=RUN, operation_id="fork_run", summary="Fork a run"
)
def fork(
    request: HttpRequest, run_id: UUID, body: ForkIn, idempotency_key: IdempotencyKey = ""
) -> Status[object]:
    """Goes on from a step of it with something changed; nothing of it reaches the world.

    Calls that are in the recording are answered as they were; other effects are withheld, and other reads too, unless
    `live_reads` allows them.
    """
    actor = actor_of(request)
    given = body.model_dump(exclude={"result"})
    result = OtherResult(body.result.call, body.result.data) if body.result else None

    def create() -> RunStarted:
        return _started(fork_run(run_id, actor=actor, result=result, **given))

    return create_once(request, idempotency_key, create)


def run_url(run_id: UUID) -> str:
    """The run's page in the console."""
    return f"{settings.BASE_URL}/runs/{run_id}"


def shape_run(run: Run, actor: Actor | None) -> RunOut:
    """A run as the API and `runs start --json` tell it, to `actor`; None: to who has the host."""
    shown = shape_runs([run], actor)[0]
    if run.status in HANDED_OVER:
        steps = run_steps(run)
        if actor is not None:
            hide_in_steps(run, steps, actor)
        shown.handover = _shape_handover(hand_over(run, steps))
    return shown


def shape_runs(runs: Sequence[Run], actor: Actor | None) -> list[RunOut]:
    """Several runs, with one look for what they wait for."""
    if actor is not None:
        hide_in_runs(runs, actor)
    waiting: dict[UUID | None, list[UUID]] = defaultdict(list)
    pending = Approval.objects.filter(run_id__in=[run.pk for run in runs], status=ApprovalStatus.PENDING)
    for approval_id, run_id in pending.order_by("requested_at", "pk").values_list("pk", "run_id"):
        waiting[run_id].append(approval_id)
    if actor is not None and actor.roles & PEOPLE:
        beside = planted_beside([run.pk for run in runs if not run.is_final])
        for approval_id, run_id in beside.values_list("pk", "canary__like__run_id"):
            waiting[run_id].append(approval_id)
    for run in runs:
        if run.status == RunStatus.WAITING_RUNS:
            waiting[run.pk] = list(pending_approvals(run).values_list("pk", flat=True))
    rehearsals = rehearsals_of(runs)
    return [_shape(run, waiting[run.pk], rehearsals.get(run.pk)) for run in runs]


def _shape_handover(handed: HandOver) -> HandOverOut:
    def deeds(several: list[Deed]) -> list[DeedOut]:
        return [
            DeedOut(
                tool_call=deed.call.pk,
                tool=deed.call.tool,
                status=CallStatus(deed.call.status),
                words=deed.words,
                result=deed.result,
            )
            for deed in several
        ]

    return HandOverOut(
        asked=handed.asked,
        on_behalf_of=dict(handed.on_behalf_of),
        why=handed.why,
        done=deeds(handed.done),
        found=deeds(handed.found),
        in_doubt=deeds(handed.in_doubt),
        not_done=deeds(handed.not_done),
        open_steps=handed.open_steps,
        unsupported=handed.unsupported,
        last_words=handed.last_words,
        assessment=handed.assessment,
        people_said=handed.people_said,
        next=handed.next,
    )


def _load(run_id: UUID, actor: Actor) -> Run:
    return get_run(run_id, actor=actor)


def _started(run: Run) -> RunStarted:
    return RunStarted(id=run.pk, status=RunStatus(run.status), trace_id=run.trace_id, url=run_url(run.pk))


def _shape(run: Run, pending: list[UUID], rehearsal: Rehearsal | None) -> RunOut:
    return RunOut(
        id=run.pk,
        agent=run.version.agent.name,
        version=run.version.number,
        status=RunStatus(run.status),
        reason=run.reason,
        output=run.output or None,
        confidence=run.confidence,
        usage=Usage(
            input_tokens=run.input_tokens,
            output_tokens=run.output_tokens,
            cache_read_tokens=run.cache_read_tokens,
            cache_write_tokens=run.cache_write_tokens,
            turns=run.turns,
        ),
        cost_usd=float(run.cost_usd),
        pending_approvals=pending,
        trace_id=run.trace_id,
        conversation=run.conversation,
        rehearsal=RehearsalKind(rehearsal.kind) if rehearsal else None,
        rehearsal_of=rehearsal.of_id if rehearsal else None,
        simulated=run.simulated,
        url=run_url(run.pk),
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )
