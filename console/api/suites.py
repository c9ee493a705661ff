"""Suites: what agents are expected to do, and whether they do it."""

from typing import Annotated
from uuid import UUID

from django.db.models import Count
from django.http import HttpRequest
from django.utils import timezone
from ninja import Path, Query, Router
from ninja.responses import Status

from agents.evals.suites import (
    collect,
    comparison_of,
    get_suite,
    get_suite_run,
    start_suite,
    visible_suite_runs,
)
from agents.masking import hide_in_results
from agents.models import Case, CaseResult, Suite, SuiteRun
from approvals.access import Actor
from console.api.auth import READ, RUN, actor_of
from console.api.idempotency import IdempotencyKey, create_once
from console.api.paging import PageQuery, page
from console.api.shapes.base import AGENT_NAME
from console.api.shapes.suites import CaseCallOut, CaseOut, SuiteLine, SuiteList, SuiteOut, SuiteRunOut
from console.people.roles import DOERS, require_any

router = Router(tags=["suites"], auth=READ)

SuiteName = Annotated[str, Path(pattern=AGENT_NAME, max_length=64)]


@router.get("", response=SuiteList, operation_id="list_suites", summary="List suites")
def listing(request: HttpRequest, query: Query[PageQuery]) -> SuiteList:
    """Newest first."""
    found = page(Suite.objects.select_related("agent"), query, time="created_at")
    cases = Case.objects.filter(suite__in=found.rows).order_by()
    sizes = dict(cases.values_list("suite").annotate(Count("pk")))
    return SuiteList(items=[_line(suite, sizes[suite.pk]) for suite in found.rows], next=found.next)


@router.get("/{name}", response=SuiteOut, operation_id="get_suite", summary="Read a suite")
def read(request: HttpRequest, name: SuiteName) -> SuiteOut:
    """With its last result; a service sees the last that it started."""
    suite, actor = get_suite(name), actor_of(request)
    last = visible_suite_runs(actor).filter(suite=suite).order_by("-created_at", "-pk").first()
    return SuiteOut(
        **_line(suite, suite.cases.count()).model_dump(),
        last=shape_suite_run(collect(last.pk, now=timezone.now()), actor) if last else None,
    )


@router.post(
    "/{name}/runs", response={201: SuiteRunOut}, auth=RUN, operation_id="run_suite", summary="Run a suite"
)
def start(request: HttpRequest, name: SuiteName, idempotency_key: IdempotencyKey = "") -> Status[object]:
    """Each case becomes a rehearsal of the agent's live version: nothing of it reaches the world, but models cost."""
    actor = actor_of(request)
    require_any(actor, DOERS, to="run suites")

    def create() -> SuiteRunOut:
        return shape_suite_run(start_suite(name, actor=actor, now=timezone.now()), actor)

    return create_once(request, idempotency_key, create)


@router.get(
    "/{name}/runs/{suite_run_id}",
    response=SuiteRunOut,
    operation_id="get_suite_run",
    summary="Read what a suite came to",
)
def result(request: HttpRequest, name: SuiteName, suite_run_id: UUID) -> SuiteRunOut:
    """Case by case, also while it goes on; a service sees what it started."""
    actor = actor_of(request)
    found = get_suite_run(name, suite_run_id, actor=actor)
    return shape_suite_run(collect(found.pk, now=timezone.now()), actor)


def shape_suite_run(suite_run: SuiteRun, actor: Actor | None) -> SuiteRunOut:
    """As the API and `evals run --json` tell it, to `actor`; None: to who has the host."""
    results = list(suite_run.results.order_by("place"))
    if actor is not None:
        hide_in_results(results, actor)
    compared = comparison_of(suite_run)
    changes = dict.fromkeys(compared.regressions, "regression") | dict.fromkeys(
        compared.improvements, "improvement"
    )
    return SuiteRunOut(
        id=suite_run.pk,
        suite=suite_run.suite.name,
        agent=suite_run.version.agent.name,
        version=suite_run.version.number,
        status="finished" if suite_run.ended_at else "running",
        passed=sum(result.passed is True for result in results),
        failed=sum(result.passed is False for result in results),
        regressions=list(compared.regressions),
        improvements=list(compared.improvements),
        gone=list(compared.gone),
        baseline=suite_run.baseline_id,
        accepted=Suite.objects.filter(baseline=suite_run).exists(),
        cases=[_case(result, changes.get(result.name, "")) for result in results],
        cost_usd=float(sum(result.cost_usd for result in results)),
        created_at=suite_run.created_at,
        ended_at=suite_run.ended_at,
    )


def _case(result: CaseResult, change: str) -> CaseOut:
    return CaseOut.model_validate(
        {
            "case": result.name,
            "passed": result.passed,
            "change": change,
            "findings": result.findings,
            "run": result.run_id,
            "status": result.status,
            "turns": result.turns,
            "cost_usd": float(result.cost_usd),
            "calls": [CaseCallOut(**call) for call in result.calls],
        }
    )


def _line(suite: Suite, cases: int) -> SuiteLine:
    return SuiteLine(name=suite.name, agent=suite.agent.name, cases=cases, created_at=suite.created_at)
