"""Changes to a plan that is there: people approve or steer it, and a short budget drops what is optional."""

from typing import Any

from django.utils import timezone

from agents.exceptions import Changed
from agents.models import Run, Steering, StepKind
from agents.runtime.binding import policy_digest
from agents.runtime.decide.progress import latest_plan, progress
from agents.runtime.journal import entry
from agents.runtime.planning import PLAN_SCHEMA
from agents.runtime.requesting import flooding
from agents.runtime.stretch import Stretch
from agents.states import RunStatus
from approvals.digest import action_digest, digest_of
from approvals.exceptions import Invalid
from approvals.models import Approval, Kind
from approvals.requests import Request, request_approval
from traces.recorder import record

PLAN_TOOL = "carry_out_plan"  # as the request about a plan names what is to run
SHOWN = ("goal", "steps", "needs_clarification")  # of a plan


def ask_plan(stretch: Stretch) -> None:
    """Put the plan to a person, who approves or edits it, and let go of the run."""
    if flooding(stretch):
        raise Changed  # its agent is halted: the run freezes, and asks once that is lifted
    plan = _plan_of(stretch)
    arguments = {name: plan.payload.get(name) for name in SHOWN}
    run = stretch.run
    request = Request(
        kind=Kind.ACTION,
        title=f"Carry out this plan: {arguments['goal']}",
        tool=PLAN_TOOL,
        arguments=arguments,
        digest=_digest(run, arguments),
        parameters=PLAN_SCHEMA,
        tool_digest=digest_of(PLAN_SCHEMA),
        risk="medium",
        tainted=bool(run.taint_sources),
        taint_sources=list(run.taint_sources),
        rule="Each plan of this agent is approved by a person first (plan.approve).",
        policy_digest=policy_digest(run.version),
        context={"task": run.input, "step": plan.seq},
        agent=stretch.agent,
        agent_version=run.version.number,
        run_id=run.pk,
        subject=run.subject,
        simulated=run.simulated,
    )
    now = timezone.now()
    with entry(
        run,
        "ask_plan",
        now=now,
        status=RunStatus.WAITING_APPROVAL,
        reason="A person must approve the plan.",
        work_ms=stretch.lap(),
        lease_until=None,
        lease_owner="",
    ):
        request_approval(request, actor=stretch.actor, now=now)
        record("run.suspended", actor=stretch.actor, object_id=run.pk, run_id=run.pk)


def take_plan(stretch: Stretch) -> None:
    """Take over the plan as it was approved, with what a person changed in it."""
    request, now = stretch.question(), timezone.now()
    if request is None:
        raise ValueError(f"{stretch.run} has no approved plan to take.")
    plan = _checked(stretch, request)
    by = request.decision.user.get_username()
    payload = {**plan, "needs_clarification": None, "approved_by": by, "edited": request.revision > 1}
    with entry(stretch.run, "take_plan", now=now, work_ms=stretch.lap()):
        step = stretch.add_step(StepKind.PLAN, payload, now=now)
        record(
            "run.planned",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=stretch.run.pk,
            data={"goal": plan["goal"], "approved_by": by},
        )


def drop_steps(stretch: Stretch, numbers: tuple[int, ...]) -> None:
    """Leave optional steps out, since the budget is short, and say so."""
    share = stretch.snapshot().left
    payload = {
        "action": "drop",
        "by": "budget",
        "numbers": list(numbers),
        "applied": True,
        "why": f"Only {share:.0%} of the budget is left, and the step is optional.",
    }
    _store(stretch, payload, ())


def take_steering(stretch: Stretch) -> None:
    """Take in what people want done about the plan, each wish once; one that came too late is kept, and says so."""
    wish = stretch.steerings[0]
    why = _objection(stretch, wish)
    payload = {
        "action": wish.action,
        "by": wish.asked_by,
        "numbers": [wish.number] if wish.number else [],
        "applied": not why,
        "why": why,
    }
    _store(stretch, payload, (wish,))
    stretch.steerings.remove(wish)


def _store(stretch: Stretch, payload: dict[str, Any], taken: tuple[Steering, ...]) -> None:
    run, now = stretch.run, timezone.now()
    with entry(run, "steer", now=now, work_ms=stretch.lap()):
        step = stretch.add_step(StepKind.STEER, payload, now=now)
        if taken:
            Steering.objects.filter(pk__in=[wish.pk for wish in taken]).update(taken_at=now)
            if not Steering.objects.filter(run=run, taken_at=None).exists():
                # A person may want the run to end or to pause meanwhile: that stays.
                Run.objects.filter(pk=run.pk, requested="steer").update(requested="")
        record(
            "step.steered",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=run.pk,
            data={name: payload[name] for name in ("action", "by", "numbers", "applied")},
        )
    if run.requested == "steer":
        run.requested = Run.objects.values_list("requested", flat=True).get(pk=run.pk)


def _objection(stretch: Stretch, wish: Steering) -> str:
    """Why the wish can't be followed any more; empty: it can."""
    at = latest_plan(stretch.steps)
    if at is None or stretch.steps[at].seq != wish.plan:
        return "It was about a plan that is no longer in force."
    states = {step.number: step.state for step in progress(stretch.steps)}
    if wish.action == "skip" and states.get(wish.number or 0) not in ("pending", "current"):
        return f"Step {wish.number} was {states.get(wish.number or 0, 'gone')} by then."
    if wish.action == "retry" and states.get(wish.number or 0) in ("pending", "current", None):
        return f"Step {wish.number} was open by then."
    return ""


def _plan_of(stretch: Stretch) -> Any:
    at = latest_plan(stretch.steps)
    if at is None:
        raise ValueError(f"{stretch.run} has no plan.")
    return stretch.steps[at]


def _checked(stretch: Stretch, request: Approval) -> dict[str, Any]:
    """The plan as it was approved. Raises Invalid where it is not what the person was shown."""
    if _digest(stretch.run, request.arguments) != request.digest:
        raise Invalid(f"The plan of {stretch.run} is not the one that was approved.")
    return dict(request.arguments)


def _digest(run: Run, arguments: dict[str, Any]) -> str:
    return action_digest(
        tool=PLAN_TOOL,
        tool_digest=digest_of(PLAN_SCHEMA),
        arguments=arguments,
        subject=run.subject,
        policy_digest=policy_digest(run.version),
    )
