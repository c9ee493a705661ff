"""How deciding goes: per approver the load and the care, per agent and tool the waiting. Planted tests count apart."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import NamedTuple

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, TextField
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Length

from approvals.access import Actor
from approvals.models import Canary, CanaryResult, Decision, Revision, Vote
from traces.models import AUDITED, Event

CHARS_PER_SECOND = 40  # faster than people read who read every word
TO_BEGIN, AT_MOST = 2.0, 120.0  # s
MOST = 20_000  # words of people that are looked at, the latest
TOOLS = 100  # that are listed


class Said(NamedTuple):
    """One word of a person on a request: yes, no, or an answer, where `approve` is None."""

    name: str
    approve: bool | None
    at: datetime
    shown_at: datetime | None  # to that person first; None where no page was opened
    chars: int  # of what the page shows without anything unfolded


@dataclass(frozen=True, slots=True)
class Approver:
    """The figures of one person. Shares are from 0 to 1, and None where there is nothing to take a share of."""

    name: str
    said: int
    busiest_hour: int
    median_seconds: float | None  # from when it was first shown to them
    approved: float | None  # of yes and no
    measured: int  # of which it is known when they were shown
    too_fast: int  # of these: in less than the reading time
    edits: int = 0
    caught: int = 0  # planted tests that they rejected, escalated or changed
    missed: int = 0

    @property
    def fast_share(self) -> float | None:
        """How many of the measured were faster than reading."""
        return self.too_fast / self.measured if self.measured else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The figures of one tool of an agent, or of a program; times in s, shares from 0 to 1."""

    asker: str
    tool: str
    asked: int
    p50: float | None
    p95: float | None
    approved: float | None  # of what people decided
    escalated: float
    expired: float


def may_see_others(actor: Actor) -> bool:
    """Whether this person sees the figures of other people; everybody sees their own."""
    return bool(actor.roles & settings.FIGURES_FOR)


def reading_seconds(chars: int) -> float:
    """The least time in which somebody could read so much. Pure."""
    return min(AT_MOST, TO_BEGIN + chars / CHARS_PER_SECOND)


def approvers(*, since: datetime, actor: Actor) -> list[Approver]:
    """Those that `actor` may see, the busiest first."""
    only = None if may_see_others(actor) else actor.user.get_username()
    said = defaultdict(list)
    for word in _words(since, only):
        said[word.name].append(word)
    edits = Revision.objects.filter(created_at__gte=since, edited_by__isnull=False, approval__canary=None)
    edited = _counts(edits.values_list("edited_by__username").annotate(count=Count("pk")))
    tests = Canary.objects.filter(settled_at__gte=since, user__isnull=False)
    results: Mapping[tuple[str, str], int] = {
        (name, result): count
        for name, result, count in tests.values_list("user__username", "result").annotate(count=Count("pk"))
    }
    names = said.keys() | edited.keys() | {name for name, _ in results}
    found = [
        figures_of(
            name,
            said[name],
            edits=edited.get(name, 0),
            caught=sum(results.get((name, each), 0) for each in (CanaryResult.CAUGHT, CanaryResult.CHANGED)),
            missed=results.get((name, CanaryResult.MISSED), 0),
        )
        for name in names
        if only in (None, name)
    ]
    return sorted(found, key=lambda each: (-each.said, each.name))


def figures_of(
    name: str, said: Sequence[Said], *, edits: int = 0, caught: int = 0, missed: int = 0
) -> Approver:
    """The figures of one person's words. Pure."""
    times = [
        ((word.at - word.shown_at).total_seconds(), word.chars)
        for word in said
        if word.shown_at is not None and word.shown_at <= word.at
    ]
    hours = Counter(word.at.replace(minute=0, second=0, microsecond=0) for word in said)
    votes = [word.approve for word in said if word.approve is not None]
    return Approver(
        name=name,
        said=len(said),
        busiest_hour=max(hours.values(), default=0),
        median_seconds=median(seconds for seconds, _ in times) if times else None,
        approved=sum(votes) / len(votes) if votes else None,
        measured=len(times),
        too_fast=sum(seconds < reading_seconds(chars) for seconds, chars in times),
        edits=edits,
        caught=caught,
        missed=missed,
    )


def waiting(*, since: datetime) -> list[Waiting]:
    """Of what was asked since and is settled: how long it waited, and how it ended; what is asked most first."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, [since, since, TOOLS])
        return [Waiting(*row) for row in cursor.fetchall()]


_WAITING = """
    SELECT coalesce(nullif(a.agent, ''), u.username, '') AS asker, a.tool, count(*),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.resolved_at - a.requested_at))
            FILTER (WHERE a.status IN ('approved', 'denied'))::float,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM a.resolved_at - a.requested_at))
            FILTER (WHERE a.status IN ('approved', 'denied'))::float,
        avg((a.status = 'approved')::int) FILTER (WHERE a.status IN ('approved', 'denied'))::float,
        avg((e.object_id IS NOT NULL)::int)::float,
        avg((a.status = 'expired')::int)::float
    FROM approvals_approval a
    LEFT JOIN auth_user u ON u.id = a.requested_by_id
    LEFT JOIN (
        SELECT DISTINCT object_id FROM traces_event
        WHERE name IN ('approval.escalated', 'care.escalated') AND at >= %s
    ) e ON e.object_id = a.id::text
    WHERE a.requested_at >= %s AND a.kind = 'action' AND a.status <> 'pending'
        AND NOT EXISTS (SELECT 1 FROM approvals_canary c WHERE c.approval_id = a.id)
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %s
"""


def _words(since: datetime, only: str | None) -> Iterable[Said]:
    """What people said since, or what one person did."""
    votes = Vote.objects.filter(cast_at__gte=since, approval__canary=None)
    answers = Decision.objects.filter(decided_at__gte=since, verdict="answer")
    views = Event.objects.filter(AUDITED, name="approval.viewed", at__gte=since)
    if only is not None:
        votes, answers = votes.filter(user__username=only), answers.filter(user__username=only)
        views = views.filter(actor=f"user:{only}")
    shown = {
        (actor, object_id): first
        for actor, object_id, first in views.values_list("actor", "object_id").annotate(first=Min("at"))
    }
    said: list[tuple[str, bool | None, datetime, object, int]] = [
        *votes.annotate(chars=_chars())
        .order_by("-cast_at")
        .values_list("user__username", "approve", "cast_at", "approval_id", "chars")[:MOST]
    ]
    said += [
        (name, None, at, approval_id, chars)
        for name, at, approval_id, chars in answers.annotate(chars=_chars())
        .order_by("-decided_at")
        .values_list("user__username", "decided_at", "approval_id", "chars")[:MOST]
    ]
    for name, approve, at, approval_id, chars in said:
        yield Said(name, approve, at, shown.get((f"user:{name}", str(approval_id))), chars)


def _chars() -> Combinable:
    """Characters of title, arguments, preview, the agent's words and the task."""
    total: Combinable = Coalesce(Length(KeyTextTransform("task", "approval__context")), 0)
    for field in ("title", "arguments", "preview", "reason"):
        total = total + Length(Cast(f"approval__{field}", TextField()))
    return total


def _counts(rows: Iterable[tuple[str, int]]) -> dict[str, int]:
    return dict(rows)
