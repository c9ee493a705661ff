"""Suites: what people and programs do with them. All is in rows, so that whoever looks next goes on after a crash."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from agents.actions import cancel_run
from agents.evals.assertions import findings
from agents.evals.baseline import Comparison, compare
from agents.evals.config import CaseConfig
from agents.evals.facts import facts_of
from agents.exceptions import AgentError, MissingSuite, WrongState
from agents.models import CaseResult, RehearsalKind, Run, Suite, SuiteRun
from agents.nearest import hint
from agents.rehearsals import rehearse
from agents.runtime.versions import runnable_version
from agents.states import RunStatus
from approvals.access import ADMIN, OPERATOR, PEOPLE, SERVICE, Actor
from approvals.exceptions import NotAllowed
from approvals.halts import require_running
from traces.recorder import record

LIMIT = 600  # s, for all cases together


def start_suite(name: str, *, actor: Actor | None, now: datetime, seconds: int = LIMIT) -> SuiteRun:
    """Start all cases as rehearsals of the agent's live version; workers carry them.

    Raises MissingSuite, UnknownAgent, BadInput, NotAllowed, Halted.
    """
    if actor is not None and not actor.roles & {OPERATOR, ADMIN, SERVICE}:
        raise NotAllowed("Running a suite needs the role operator or admin; ask an admin for it.")
    with transaction.atomic():
        suite = get_suite(name, locked=True)
        version = runnable_version(suite.agent.name)
        require_running(suite.agent.name)
        suite_run = SuiteRun.objects.create(
            suite=suite,
            version=version,
            digest=suite.digest,
            baseline=suite.baseline,
            actor=str(actor or "system"),
            started_by=actor.user if actor else None,
            created_at=now,
            deadline_at=now + timedelta(seconds=seconds),
        )
        for case in suite.cases.order_by("place"):
            result = CaseResult(suite_run=suite_run, place=case.place, name=case.name, config=case.config)
            config = CaseConfig.model_validate(case.config)
            try:
                result.run = rehearse(
                    version=version,
                    input=config.input,
                    subject=config.subject,
                    answers={tool: list(given) for tool, given in config.answers.items()},
                    kind=RehearsalKind.CASE,
                    actor=actor,
                    now=now,
                    taint_sources=[] if config.trusted else ["input"],
                )
            except AgentError as error:
                result.passed, result.findings = False, [f"It could not be started: {error}"]
            result.save()
        _record("suite.started", suite_run)
    return suite_run


def join_suite(name: str, *, now: datetime, seconds: int = LIMIT) -> SuiteRun:
    """The run of the suite that goes on, else one that is started: the same for all who ask at once. Raises as `start_suite`."""
    with transaction.atomic():
        get_suite(name, locked=True)
        return going_on(name, now=now) or start_suite(name, actor=None, now=now, seconds=seconds)


def going_on(name: str, *, now: datetime) -> SuiteRun | None:
    """A run of the suite that nobody has seen the end of, of the cases and the version as they are now.

    One that is overdue, with cases that never ended, is closed instead. Raises MissingSuite.
    """
    suite = get_suite(name)
    runs = suite.runs.filter(ended_at=None, digest=suite.digest, version_id=suite.agent.live_version_id)
    begun = runs.order_by("-created_at").first()
    if begun is None or begun.deadline_at > now:
        return begun
    hanging = begun.results.filter(passed=None, run__ended_at=None).exists()
    collect(begun.pk, now=now)
    return None if hanging else begun


def collect(suite_run_id: UUID, *, now: datetime) -> SuiteRun:
    """Judge the cases whose runs are over, and those that will not be over in time; the suite's run as it stands then."""
    with transaction.atomic():
        rows = SuiteRun.objects.select_for_update(of=("self",)).select_related("suite", "version__agent")
        suite_run = rows.get(pk=suite_run_id)
        if suite_run.ended_at is not None:
            return suite_run
        going = suite_run.results.filter(passed=None).select_related("run__version__agent").order_by("place")
        left = [
            result for result in going if not _settle(result, suite_run, late=now >= suite_run.deadline_at)
        ]
        if not left:
            suite_run.ended_at = now
            suite_run.save(update_fields=["ended_at"])
            _record("suite.finished", suite_run, counts(suite_run))
    return suite_run


def accept(suite_run: SuiteRun, *, actor: Actor | None) -> None:
    """Make these results the ones that later runs are compared with. Raises WrongState where it goes on."""
    if suite_run.ended_at is None:
        raise WrongState(f"The {suite_run} goes on: it can be accepted when it is over.")
    with transaction.atomic():
        Suite.objects.filter(pk=suite_run.suite_id).update(baseline=suite_run)
        _record("suite.accepted", suite_run, counts(suite_run), actor=str(actor or "system"))


def comparison_of(suite_run: SuiteRun) -> Comparison:
    """The cases that are over, beside the baseline that stood when they were started."""
    before = _passed(suite_run.baseline) if suite_run.baseline else {}
    return compare(_passed(suite_run), before)


def counts(suite_run: SuiteRun) -> dict[str, int]:
    """How many cases passed and failed so far."""
    passed = list(suite_run.results.exclude(passed=None).values_list("passed", flat=True))
    return {"passed": passed.count(True), "failed": passed.count(False)}


def get_suite(name: str, *, locked: bool = False) -> Suite:
    """The suite. Raises MissingSuite, with the nearest name."""
    rows = Suite.objects.select_related("agent", "baseline")
    if locked:
        rows = rows.select_for_update(of=("self",))
    suite = rows.filter(name=name).first()
    if suite is None:
        known = Suite.objects.values_list("name", flat=True)
        raise MissingSuite(f"There is no suite {name!r}; {hint(name, known)}")
    return suite


def visible_suite_runs(actor: Actor) -> QuerySet[SuiteRun]:
    """The runs of suites that `actor` may see: people see all, a program those it started."""
    runs = SuiteRun.objects.select_related("suite", "version__agent", "baseline")
    return runs if actor.roles & PEOPLE else runs.filter(started_by=actor.user)


def get_suite_run(name: str, suite_run_id: UUID, *, actor: Actor) -> SuiteRun:
    """One run of the suite. Raises MissingSuite."""
    suite_run = visible_suite_runs(actor).filter(suite=get_suite(name), pk=suite_run_id).first()
    if suite_run is None:
        raise MissingSuite(f"There is no run {suite_run_id} of the suite {name} that you may see.")
    return suite_run


def _settle(result: CaseResult, suite_run: SuiteRun, *, late: bool) -> bool:
    """Judge one case; whether there is a judgement."""
    run = result.run
    if run is None:
        result.passed, result.findings = False, ["Its run was deleted before it could be judged."]
    else:
        if not (run.is_final or late):
            return False
        facts, expect = facts_of(run), CaseConfig.model_validate(result.config).expect
        told = findings(expect, facts)
        if not run.is_final:
            told = [_why_not_over(run, suite_run), *findings(expect, replace(facts, reason=""))]
            _end(run)
        result.passed, result.findings = not told, told
        result.status, result.turns, result.cost_usd = run.status, run.turns, facts.cost_usd
        result.calls = [
            {"tool": call.tool, "refused": call.refused, "asks": call.asks} for call in facts.calls
        ]
    result.save()
    return True


def _why_not_over(run: Run, suite_run: SuiteRun) -> str:
    seconds = round((suite_run.deadline_at - suite_run.created_at).total_seconds())
    if run.status == RunStatus.QUEUED and run.started_at is None:
        return f"No worker took it up within {seconds} s: is one running?"
    return f"It did not end within {seconds} s: it is {run.status}{f': {run.reason}' if run.reason else '.'}"


def _end(run: Run) -> None:
    try:
        cancel_run(run_id=run.pk, actor=None, reason="Its case was judged without it.")
    except WrongState:
        pass  # it has just ended


def _passed(suite_run: SuiteRun) -> dict[str, bool | None]:
    return dict(suite_run.results.order_by("place").values_list("name", "passed"))


def _record(
    event: str, suite_run: SuiteRun, counted: dict[str, int] | None = None, *, actor: str = ""
) -> None:
    record(
        event,
        actor=actor or suite_run.actor,
        object_id=suite_run.pk,
        data={
            "suite": suite_run.suite.name,
            "agent": suite_run.version.agent.name,
            "version": suite_run.version.number,
            **(counted or {}),
        },
    )
