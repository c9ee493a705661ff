"""What people and programs read of runs: only what they may see."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Avg, Count, Exists, OuterRef, Prefetch, Q, QuerySet

from agents.exceptions import MissingRun
from agents.models import Agent, Attachment, Run, Step, StepKind, ToolCall
from agents.runtime.decide.progress import PlanStep, progress
from agents.states import FINAL_CALL, FINAL_RUN, RunStatus
from approvals.access import PEOPLE, Actor
from approvals.models import Approval
from approvals.states import ApprovalStatus


def visible_runs(actor: Actor) -> QuerySet[Run]:
    """The runs that `actor` may see, with version and agent: people see all, a program those it started."""
    runs = Run.objects.select_related("version__agent", "started_by")
    if actor.roles & PEOPLE:
        return runs
    return runs.filter(started_by=actor.user)


def find_runs(actor: Actor, *, agent: str = "", status: str = "", text: str = "") -> QuerySet[Run]:
    """The runs that match all that is given.

    `status` is a run status, or `open` for all that are not final. `text` is looked for in input, output and
    summary; the id of a run finds that run.
    """
    runs = visible_runs(actor)
    if agent:
        runs = runs.filter(version__agent__name=agent)
    if status == "open":
        runs = runs.exclude(status__in=FINAL_RUN)
    elif status in RunStatus.values:
        runs = runs.filter(status=status)
    if text := text.replace("\x00", "").strip():
        found = Q(input__icontains=text) | Q(output__icontains=text) | Q(summary__icontains=text)
        if run_id := _uuid(text):
            found |= Q(pk=run_id)
        runs = runs.filter(found)
    return runs


def get_run(run_id: UUID | str, *, actor: Actor) -> Run:
    """The run. Raises MissingRun."""
    known = run_id if isinstance(run_id, UUID) else _uuid(run_id)
    run = visible_runs(actor).filter(pk=known).first() if known else None
    if run is None:
        raise MissingRun(f"There is no run {run_id} that you may see.")
    return run


def run_steps(run: Run, *, after: int | None = None, again: Collection[int] = ()) -> list[Step]:
    """The steps in order, each with `tool_calls`, their `approval`, its `decision` and its revisions.

    With `after`, only the steps beyond that number, and those numbered in `again`.
    """
    calls = ToolCall.objects.select_related("approval__decision__user").prefetch_related(
        "approval__revisions__edited_by",
        "approval__votes__user",
        Prefetch("attachments", queryset=Attachment.objects.defer("content")),
    )
    steps = Step.objects.filter(run=run)
    if after is not None:
        steps = steps.filter(Q(seq__gt=after) | Q(seq__in=again))
    return list(
        steps.order_by("seq").prefetch_related(Prefetch("tool_calls", queryset=calls.order_by("index")))
    )


def may_change(step: Step) -> bool:
    """Whether a call of this step, read by `run_steps`, is not final yet."""
    return any(call.status not in FINAL_CALL for call in step.tool_calls.all())


def run_approvals(run: Run) -> QuerySet[Approval]:
    """All that people were asked on behalf of this run, in order."""
    return (
        Approval.objects.filter(run_id=run.pk).select_related("decision__user").order_by("requested_at", "pk")
    )


def pending_approvals(run: Run) -> QuerySet[Approval]:
    """What this run waits for people to decide, and the runs for which it waits."""
    asked = Q(run_id=run.pk)
    if run.status == RunStatus.WAITING_RUNS:
        below = Run.objects.filter(Q(parent=run) | Q(root_id=run.pk))
        asked |= Q(run_id__in=below.values("pk"))
    approvals = Approval.objects.filter(asked, status=ApprovalStatus.PENDING)
    return approvals.select_related("decision__user").order_by("requested_at", "pk")


def pending_counts(runs: Collection[Run]) -> dict[UUID, int]:
    """How many requests wait for people, by run; runs that wait for none are absent."""
    waiting = Approval.objects.filter(run_id__in=[run.pk for run in runs], status=ApprovalStatus.PENDING)
    return dict(waiting.values_list("run_id").annotate(Count("pk")).order_by())


def plan_of(run: Run) -> list[PlanStep]:
    """The steps of the run's plan as they stand; empty where it has none. Of an ended run none is current."""
    kinds = (StepKind.PLAN, StepKind.MODEL, StepKind.OBSERVE, StepKind.STEER)
    plan = progress(list(Step.objects.filter(run=run, kind__in=kinds).order_by("seq")))
    if run.status not in FINAL_RUN:
        return plan
    return [replace(step, state="pending") if step.state == "current" else step for step in plan]


@dataclass(frozen=True, slots=True)
class FastPathShare:
    """How many runs of an agent skipped the plan, and what that saved."""

    runs: int  # that ended and were asked about
    fast: int  # of them, that skipped it to the end
    mean_usd_fast: float
    mean_usd_full: float

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.fast / self.runs if self.runs else 0.0

    @property
    def saved_usd(self) -> float:
        """What the fast ones would have cost more, had they cost what the others did."""
        return self.fast * (self.mean_usd_full - self.mean_usd_fast) if 0 < self.fast < self.runs else 0.0


def fast_path_share(*, agent: str, since: datetime | None = None) -> FastPathShare:
    """What share of an agent's ended runs took the fast path. One that was planned after all counts as planned."""
    told = Step.objects.filter(run=OuterRef("pk"), kind=StepKind.ROUTE, payload__has_key="path")
    planned = Step.objects.filter(run=OuterRef("pk"), kind=StepKind.PLAN)
    fast = Exists(told.filter(payload__path="fast")) & ~Exists(planned)
    runs = Run.objects.filter(Exists(told), version__agent__name=agent, status__in=FINAL_RUN, rehearsal=False)
    if since is not None:
        runs = runs.filter(created_at__gte=since)
    skipped = runs.filter(fast).aggregate(count=Count("pk"), mean=Avg("cost_usd"))
    others = runs.exclude(fast).aggregate(count=Count("pk"), mean=Avg("cost_usd"))
    return FastPathShare(
        runs=skipped["count"] + others["count"],
        fast=skipped["count"],
        mean_usd_fast=float(skipped["mean"] or 0),
        mean_usd_full=float(others["mean"] or 0),
    )


def startable_agents() -> QuerySet[Agent]:
    """The agents of which a run can be started."""
    return Agent.objects.exclude(live_version=None).select_related("live_version").order_by("name")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
