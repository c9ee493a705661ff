"""Runs that a run starts: each works on a part of the task, with a part of the budget, and is claimed like any other."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents.config import AgentConfig
from agents.intake import queue_run
from agents.models import Agent, AgentVersion, Run, StepKind
from agents.runtime.budgets import TOKENS, Budget
from agents.runtime.dispatch import wake
from agents.runtime.journal import entry
from agents.runtime.stretch import Stretch
from agents.states import FINAL_RUN, RunStatus
from traces.recorder import record


def live_versions(names: Iterable[str]) -> dict[str, AgentVersion]:
    """The versions that runs of these agents would have now, by name; agents that can't be started are absent."""
    agents = Agent.objects.filter(name__in=set(names)).exclude(live_version=None)
    found = AgentVersion.objects.filter(pk__in=agents.values("live_version")).select_related("agent")
    return {version.agent.name: version for version in found}


def open_child(
    stretch: Stretch, version: AgentVersion, task: str, *, part: int, budget: Budget, now: datetime
) -> Run:
    """Start the run that works on part `part`; inside a journal entry, so that it is there once or not at all.

    It acts for the same subject, is tainted as its parent is, and its root span stands under the parent's.
    """
    parent = stretch.run
    child = queue_run(
        version=version,
        input=task,
        now=now,
        actor=stretch.actor,
        subject=parent.subject,
        parent=parent,
        part=part,
        depth=parent.depth + 1,
        root_id=parent.root_id or parent.pk,
        budget=budget.as_json() | _levels_below(stretch.config, parent),
        success=parent.success if stretch.config.pattern == "router" else None,
        task_type=parent.task_type,
        metadata=parent.metadata,
        started_by_id=parent.started_by_id,
        taint_sources=list(parent.taint_sources),
    )
    stretch.children.append(child)
    return child


def gather(stretch: Stretch) -> None:
    """Store what the runs of the latest round came to, and add what they used to this run's counters.

    Both are one step, so each is counted once. What they wrote taints this run.
    """
    run, now = stretch.run, timezone.now()
    asked = _latest_round(stretch)
    ended = {
        child.part: child for child in _children_of(run) if child.part in {part["part"] for part in asked}
    }
    parts = [_came_to(part, ended.get(part["part"])) for part in asked]
    sources = [*run.taint_sources, *(f"agent:{part['agent']}" for part in parts if part["run"])]
    with entry(
        run,
        "gather",
        now=now,
        **_with_usage(run, list(ended.values())),
        work_ms=stretch.lap() + sum(child.work_ms for child in ended.values()),
        taint_sources=list(dict.fromkeys(sources)),
        simulated=run.simulated or any(child.simulated for child in ended.values()),
    ):
        step = stretch.add_step(StepKind.GATHER, {"parts": parts}, now=now)
        record(
            "run.gathered",
            actor=stretch.actor,
            object_id=str(step.seq),
            run_id=run.pk,
            data={"parts": [{"agent": part["agent"], "status": part["status"]} for part in parts]},
        )


def pass_on(stretch: Stretch, what: str) -> None:
    """Ask the open runs below for what a person asked of this one: cancel, or pause."""
    now = timezone.now()
    with entry(stretch.run, "pass_on", now=now, work_ms=stretch.lap()):
        for child in Run.objects.select_for_update().filter(parent=stretch.run).order_by("pk"):
            if child.status in FINAL_RUN or child.requested in (what, "cancel"):
                continue
            if child.status == RunStatus.PAUSED:
                if what == "pause":
                    continue
                _queue(child)
            due = now if child.status == RunStatus.WAITING_RETRY else None
            Run.objects.filter(pk=child.pk).update(requested=what, wake_at=due)
            record(
                f"run.{what}_requested",
                actor=stretch.actor,
                object_id=child.pk,
                run_id=child.pk,
                data={"reason": f"The run that it works for is to {what}."},
            )
            transaction.on_commit(_waking(child.pk))


def resume_below(run: Run, *, actor: str) -> None:
    """Let all runs below go on that rest, when a person resumes `run`; in the caller's transaction."""
    for child in Run.objects.select_for_update().filter(parent=run).order_by("pk"):
        if child.status in FINAL_RUN:
            continue
        if child.requested == "pause":
            Run.objects.filter(pk=child.pk).update(requested="")
        if child.status == RunStatus.PAUSED:
            _queue(child)
            record("run.resumed", actor=actor, object_id=child.pk, run_id=child.pk)
        transaction.on_commit(_waking(child.pk))
        resume_below(child, actor=actor)


def is_stale(stretch: Stretch) -> bool:
    """Whether a run below has ended since it was looked at; inside the entry by which this run begins to wait.

    Locks their rows: one that ends later does so after this run can be claimed, and wakes it.
    """
    rows = Run.objects.select_for_update(no_key=True).filter(parent=stretch.run).order_by("pk")
    ended = {pk for pk, status in rows.values_list("pk", "status") if status in FINAL_RUN}
    return ended != {child.pk for child in stretch.children if child.status in FINAL_RUN}


def _children_of(run: Run) -> Sequence[Run]:
    return list(Run.objects.filter(parent=run).order_by("part"))


def _latest_round(stretch: Stretch) -> list[dict[str, Any]]:
    handed_out = (StepKind.ROUTE, StepKind.DELEGATE)
    step = next(step for step in reversed(stretch.steps) if step.kind in handed_out)
    return list(step.payload["parts"])


def _came_to(part: dict[str, Any], child: Run | None) -> dict[str, Any]:
    """A part with what became of it; one that no run could be started for has failed."""
    if child is None:
        outcome = {"run": None, "status": RunStatus.FAILED, "reason": part["refused"], "output": ""}
        return {"part": part["part"], "agent": part["agent"], "summary": "", "confidence": None, **outcome}
    return {
        "part": part["part"],
        "agent": part["agent"],
        "run": str(child.pk),
        "status": child.status,
        "reason": child.reason,
        "output": child.output,
        "summary": child.summary,
        "confidence": child.confidence,
    }


def _with_usage(run: Run, children: Sequence[Run]) -> dict[str, Any]:
    names = (*TOKENS, "turns")
    added: dict[str, Any] = {
        name: getattr(run, name) + sum(getattr(child, name) for child in children) for name in names
    }
    return added | {"cost_usd": run.cost_usd + sum((child.cost_usd for child in children), Decimal(0))}


def _levels_below(config: AgentConfig, run: Run) -> dict[str, int]:
    """How many coordinators may still stand under each other below this run; empty: as each says itself."""
    given: int | None = (run.budget or {}).get("depth")
    if config.coordinator is not None:
        given = min(config.coordinator.depth, config.coordinator.depth if given is None else given) - 1
    return {} if given is None else {"depth": given}


def _queue(child: Run) -> None:
    Run.objects.filter(pk=child.pk, status=child.status).update(status=RunStatus.QUEUED, reason="")
    child.status = RunStatus.QUEUED


def _waking(run_id: UUID) -> Any:
    return lambda: wake(run_id)
