"""What people do about a run while it goes on: say something to it, have steps retried or skipped, or all planned anew."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents.actions import lock_run
from agents.exceptions import BadInput, WrongState
from agents.models import Message, Run, Steering, SteeringKind
from agents.runtime.decide.progress import latest_plan, progress
from agents.runtime.dispatch import wake
from agents.states import FINAL_RUN, CallStatus, RunStatus
from approvals.access import ADMIN, OPERATOR, Actor
from approvals.models import Approval
from approvals.settling import cancel_for_run
from approvals.states import ApprovalStatus
from traces.recorder import record
from traces.storable import storable

CLOSED = ("done", "skipped", "dropped")


def steer_plan(*, run_id: UUID, actor: Actor, action: str, number: int | None = None) -> Run:
    """Have a step of the run's plan retried or skipped, or all planned anew; the run does it at its next step, once.

    `action` is `retry` of a closed step, `skip` of an open one, both with its `number` from 1, or `replan`. Calls of a
    step that is skipped are not asked for any more; others that run or wait for a decision go on. Raises MissingRun, NotAllowed, BadInput, WrongState.
    """
    if action not in SteeringKind.values:
        raise BadInput(
            f"{action!r} is no action; use one of {', '.join(SteeringKind.values)}.",
            errors=[{"path": ["action"], "message": "unknown"}],
        )
    with transaction.atomic():
        run = lock_run(run_id, actor)
        if run.status in FINAL_RUN:
            raise WrongState(f"Run {run.pk} is {run.status}: its plan can't be changed any more.")
        plan = _plan_looked_at(run, action, number)
        wish = Steering.objects.create(
            run=run,
            action=action,
            number=None if action == SteeringKind.REPLAN else number,
            plan=plan,
            asked_by=str(actor),
            asked_at=timezone.now(),
        )
        if action == SteeringKind.SKIP:
            _take_back(run, plan, number, actor)
        if (
            not run.requested
        ):  # one that is to end has no use for it; one that is to pause takes it in afterwards
            Run.objects.filter(pk=run.pk).update(requested="steer")
            run.requested = "steer"
        record(
            "run.steered",
            actor=str(actor),
            object_id=run.pk,
            run_id=run.pk,
            data={"action": action, "number": wish.number},
        )
        if run.status != RunStatus.PAUSED:
            transaction.on_commit(lambda: wake(run.pk))
    return run


def guide(*, run_id: UUID, actor: Actor, text: str) -> Run:
    """Say something to a run that is not over; it hears that before its next model call.

    A person's words are an operator's, a program's are data and taint. What comes too late for a turn of a
    conversation becomes its next turn. Raises MissingRun, NotAllowed, BadInput, WrongState.
    """
    if not text.strip():
        raise BadInput("Say something to the run.", errors=[{"path": ["text"], "message": "empty"}])
    with transaction.atomic():
        run = lock_run(run_id, actor)
        if run.status in FINAL_RUN:
            raise WrongState(f"Run {run.pk} is {run.status}: it hears nothing any more.")
        trusted = bool(actor.roles & {OPERATOR, ADMIN})
        message = Message.objects.create(
            run=run, text=storable(text), trusted=trusted, said_by=str(actor), said_at=timezone.now()
        )
        record("message.received", actor=str(actor), object_id=message.pk, run_id=run.pk)
    return run


def _take_back(run: Run, plan: int, number: int | None, actor: Actor) -> None:
    """Ask nobody any more to allow what belongs to a step that is skipped."""
    waiting = run.tool_calls.filter(status=CallStatus.PENDING_APPROVAL, step__seq__gt=plan)
    calls = waiting.filter(step__payload__plan_step=number).values_list("pk", flat=True)
    cancel_for_run(run.pk, actor=str(actor), now=timezone.now(), call_ids=list(calls))


def _plan_looked_at(run: Run, action: str, number: int | None) -> int:
    """The number of the step that holds the plan in force, where `action` can be done about it."""
    steps = list(run.steps.order_by("seq"))
    at = latest_plan(steps)
    if at is None:
        raise WrongState(f"Run {run.pk} has no plan.")
    pending = Approval.objects.filter(run_id=run.pk, call_id=None, status=ApprovalStatus.PENDING)
    if pending.exists():
        raise WrongState(f"Run {run.pk} waits for a decision about its plan: decide that instead.")
    if action == SteeringKind.REPLAN:
        return steps[at].seq
    states = {step.number: step.state for step in progress(steps)}
    if number not in states:
        lacking = "say which by its number" if number is None else f"there is none numbered {number}"
        raise BadInput(
            f"The plan has steps 1 to {len(states)}; {lacking}.",
            errors=[{"path": ["number"], "message": "unknown"}],
        )
    if (action == SteeringKind.RETRY) != (states[number] in CLOSED):
        raise WrongState(f"Step {number} is {states[number]}: there is nothing to {action}.")
    return steps[at].seq
