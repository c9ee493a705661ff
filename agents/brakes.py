"""What a tripped breaker does to runs: fewer at a time where too many are escalated, no new ones where it gets dear.

A claim asks what this process knew a second ago, which costs nothing while no breaker stands. Nothing is lost: a run
that may not be claimed stays queued, and the sweeper finds it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet

from agents.models import Run
from agents.states import RunStatus
from approvals.access import ADMIN, OPERATOR, Actor
from approvals.exceptions import Missing, NotAllowed
from traces.alerts import breakers
from traces.alerts.breakers import COST, ESCALATION, HOUR, Figure

LOOK_EVERY = 1.0  # s
CLAIM_LOCK = 0x636C616D  # of Postgres' advisory locks

NEW = Q(ended_at=None, status=RunStatus.QUEUED, started_at=None, parent=None, requested="")


class Standing:
    """The names of the breakers that stand, as this process knows them."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._look_at = 0.0
        self._looking = threading.Lock()

    def names(self) -> frozenset[str]:
        """Looked up every second by one thread; the others go by what was known, or wait where nothing is."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=not self._look_at):
            try:
                if time.monotonic() >= self._look_at:
                    self._names = frozenset(breakers.standing().values_list("name", flat=True))
                    self._look_at = time.monotonic() + LOOK_EVERY
            finally:
                self._looking.release()
        return self._names

    def forget(self) -> None:
        """Look anew at the next question."""
        self._look_at = 0.0


standing = Standing()


@contextmanager
def passage(run_id: UUID, *, now: datetime) -> Iterator[bool]:
    """Whether the run may be claimed in the block. With a breaker standing, the block is a transaction."""
    names = standing.names()
    if not names:
        yield True
        return
    with transaction.atomic():
        yield _is_free(run_id, names, now)


def without_held_back(runs: QuerySet[Run]) -> QuerySet[Run]:
    """Those of `runs` that a claim can take, however many breakers stand."""
    return runs.exclude(NEW) if COST in standing.names() else runs


def sweep_limit(limit: int) -> int:
    """How many runs it is worth to wake at a time."""
    return min(limit, 2 * settings.REDUCED_RUNS) if ESCALATION in standing.names() else limit


def check(*, now: datetime) -> None:
    """Measure the last hour, and trip what must be tripped."""
    for figure in (_escalation(now), _cost(now)):
        if figure is not None and breakers.judge(figure, now=now):
            standing.forget()


def lift(name: str, *, actor: Actor, now: datetime) -> None:
    """Let all go on as before. Raises NotAllowed, and Missing where the breaker doesn't stand."""
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Lifting a breaker needs the role operator or admin.")
    if not breakers.lift(name, by=str(actor), now=now):
        raise Missing(f"There is no breaker {name!r} standing.")
    standing.forget()


def _is_free(run_id: UUID, names: frozenset[str], now: datetime) -> bool:
    if COST in names and Run.objects.filter(NEW, pk=run_id).exists():
        return False
    if ESCALATION not in names or Run.objects.filter(pk=run_id).exclude(requested="").exists():
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])
    at_work = Run.objects.filter(ended_at=None, status=RunStatus.RUNNING, lease_until__gte=now).exclude(
        pk=run_id
    )
    return at_work.count() < settings.REDUCED_RUNS


def _escalation(now: datetime) -> Figure | None:
    """The share of runs that were handed over, of those that ended within the hour; parts of others don't count, nor
    rehearsals.
    """
    ended = Run.objects.filter(ended_at__gt=now - HOUR, parent=None, rehearsal=False)
    found = ended.aggregate(all=Count("pk"), escalated=Count("pk", filter=Q(status=RunStatus.ESCALATED)))
    if found["all"] < settings.ESCALATION_RUNS:
        return None
    rate, limit = found["escalated"] / found["all"], settings.ESCALATION_RATE
    reason = (
        f"{rate:.0%} of the {found['all']:,} runs that ended within an hour were handed over to people;"
        f" the limit is {limit:.0%}."
    )
    return Figure(ESCALATION, rate, limit, reason)


def _cost(now: datetime) -> Figure | None:
    """What the last hour cost, against the usual hour; a quiet system's usual hour is taken as COST_FLOOR_USD."""
    spent = breakers.cost_of_last_hour(now=now)
    if spent <= settings.COST_TIMES * settings.COST_FLOOR_USD:
        return None
    usual = max(breakers.usual_hourly_cost(now=now), settings.COST_FLOOR_USD)
    limit = settings.COST_TIMES * usual
    reason = (
        f"Models cost USD {spent:,.2f} within an hour; the limit is USD {limit:,.2f},"
        f" {settings.COST_TIMES:g} times the usual hour."
    )
    return Figure(COST, spent, limit, reason)
