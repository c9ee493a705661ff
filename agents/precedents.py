"""What people decided about actions like this one, and what came of it.

Vectors are made in the background, a few seconds after the decision and many at a time, so that asking and deciding
cost nothing. Only what a person decided is a precedent: a grant, a rule and a time that ran out say nothing of what
somebody thought.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import Exists, F, Func, IntegerField, OuterRef, QuerySet
from kombu.exceptions import OperationalError
from pgvector.django import CosineDistance

from agents.config import Endpoint
from agents.likeness import Difference, differences, is_alike, words_of
from agents.masking import hide_in_requests, masks_of, shown_words
from agents.memory import lexical
from agents.memory.embeddings import Vector, embed, embedded_by
from agents.models import Agent, Precedent, ToolCall
from agents.providers.base import ModelFailure
from approvals.access import Actor, visible_approvals
from approvals.models import Approval, Decision, Kind, Revision
from approvals.unmasking import could_be_planted
from traces.models import Event

log = structlog.get_logger(__name__)

SHOWN = 3
NEAREST = 20  # of which those that are alike count
LATEST = 1000  # decisions about the tool that are compared
WINDOW = timedelta(days=90)  # decisions that get a vector though nobody was told of them
BATCH = 64
NEWEST = 1000  # decisions that are looked at every few seconds


@dataclass(frozen=True, slots=True)
class Told:
    """One action that was decided before."""

    approval: Approval
    decision: Decision
    reason: str  # of the decision
    outcome: str  # how its call ended; empty where that is not known here
    differences: list[Difference]  # between then and now
    masked: bool  # by a rule, then or now: then no difference is told


@dataclass(frozen=True, slots=True)
class Precedents:
    """The actions like this one that people decided: how many, how, and a few of them."""

    shown: Sequence[Told]
    count: int
    approved: int  # with or without changes
    edited: int  # among the approved

    @property
    def in_words(self) -> str:
        """Such as "3 of 4 like this were approved, 1 of them with changes"."""
        if not self.count:
            return ""
        were = "was" if self.count == 1 else "were"
        edited = f", {self.edited} of them with changes" if self.edited else ""
        return f"{self.approved} of {self.count} like this {were} approved{edited}"


NONE = Precedents((), 0, 0, 0)


def precedents_of(approval: Approval, *, actor: Actor) -> Precedents:
    """Those that `actor` may see, nearest first; of what was decided already, those that were known by then."""
    if approval.kind != Kind.ACTION:
        return NONE
    first = _first_wordings([approval])[approval.pk]
    vector, by = _vector_of(approval, first)
    found = list(_near(approval, actor, vector, by)[:NEAREST])
    wordings = _first_wordings([row.approval for row in found])
    alike = [row.approval for row in found if is_alike(first, wordings[row.approval_id])]
    approved = [each for each in alike if each.decision.verdict != "reject"]
    shown = _choice(alike)
    hide_in_requests(shown, actor)
    calls = [each.call_id for each in shown if each.call_id]
    outcomes = dict(ToolCall.objects.filter(pk__in=calls).values_list("approval_id", "status"))
    return Precedents(
        shown=[
            Told(
                each,
                each.decision,
                shown_words(each, each.decision.reason),
                outcomes.get(each.pk, ""),
                [] if masked else differences(first, wordings[each.pk]),
                masked,
            )
            for each in shown
            for masked in (bool(masks_of(each) or masks_of(approval)),)
        ],
        count=len(alike),
        approved=len(approved),
        edited=sum(each.decision.verdict == "edit" for each in approved),
    )


def wake_for(event: Event) -> None:
    """Where an agent may have got another model."""
    wake(agent=event.object_id)


def wake(*, approval_id: str = "", agent: str = "") -> None:
    """Have some worker make vectors: of one action, or of all of an agent."""
    from agents.tasks import embed_precedents  # the task module imports the loop

    try:
        embed_precedents.apply_async((approval_id, agent), retry=False)
    except OperationalError as error:
        log.warning("precedents.wake_lost", approval=approval_id, agent=agent, error=str(error))


def keep(approval_id: UUID) -> None:
    """Make the vector of one action, decided or waiting."""
    _keep(
        list(
            Approval.objects.filter(pk=approval_id, kind=Kind.ACTION, canary=None).select_related("decision")
        )
    )


def keep_due(*, now: datetime, newest: int = 0) -> int:
    """Make the vectors of decided actions that have none, of the `newest` decisions or of all. Returns how many."""
    known = Precedent.objects.filter(approval=OuterRef("approval"), decided_at__isnull=False)
    due = Decision.objects.filter(decided_at__gt=now - WINDOW, approval__kind=Kind.ACTION)
    due = due.filter(approval__canary=None).exclude(Exists(known))
    if newest:
        due = due.filter(pk__in=Decision.objects.order_by("-pk").values("pk")[:newest])
    rows = due.select_related("approval").order_by("-decided_at")[:BATCH]
    made = 0
    while batch := [row.approval for row in rows.all()]:
        kept = _keep(batch)
        made += kept
        if kept < BATCH:  # all are made, or the model does not answer
            break
    return made


def re_embed(agent: str) -> None:
    """Make the vectors of an agent's actions anew where its model is another; the latest of each tool are compared."""
    by = embedded_by(_endpoint_of(agent))
    rows = Approval.objects.filter(agent=agent, kind=Kind.ACTION, decision__isnull=False)
    older = Precedent.objects.filter(approval=OuterRef("pk")).exclude(embedded_by=by)
    rows = rows.filter(Exists(older)).select_related("decision").order_by("-requested_at")
    last = None
    while batch := list(rows[:BATCH] if last is None else rows.filter(requested_at__lt=last)[:BATCH]):
        if not _keep(batch):
            return  # the model does not answer: these keep what they have
        last = batch[-1].requested_at


def _near(approval: Approval, actor: Actor, vector: Vector | None, by: str) -> QuerySet[Precedent]:
    """Decided actions of the same tool, nearest first; where nothing can be compared, the latest first."""
    same = visible_approvals(actor).filter(tool=approval.tool, simulated=approval.simulated)
    # What agents here did, or what the same program asked: tools of other programs only share a name.
    if approval.run_id is None and not could_be_planted(
        approval
    ):  # a planted test looks like its agent's own
        same = same.filter(run_id=None, requested_by__isnull=False, requested_by=approval.requested_by_id)
    else:
        same = same.filter(run_id__isnull=False)
    rows = Precedent.objects.filter(tool=approval.tool, decided_at__isnull=False, approval__in=same)
    rows = rows.exclude(pk=approval.pk)
    if approval.resolved_at is not None:
        rows = rows.filter(decided_at__lt=approval.resolved_at)
    latest = rows.order_by("-decided_at").values("pk")[:LATEST]
    told = Precedent.objects.filter(pk__in=latest).select_related("approval__decision__user")
    told = told.defer("approval__context", "approval__preview", "approval__parameters", "embedding")
    if vector is None:
        return told.order_by("-decided_at")
    length = Func(F("embedding"), function="vector_dims", output_field=IntegerField())
    return (
        told.filter(embedded_by=by, embedding__isnull=False)
        .annotate(length=length)
        .filter(length=len(vector))
        .order_by(CosineDistance("embedding", vector), "-decided_at")
    )


def _choice(alike: list[Approval]) -> list[Approval]:
    """The nearest few, a rejected one among them where there is one."""
    shown = alike[:SHOWN]
    rejected = [each for each in alike if each.decision.verdict == "reject"]
    if rejected and not any(each in rejected for each in shown):
        shown[-1] = rejected[0]
    return shown


def _vector_of(approval: Approval, first: dict[str, object]) -> tuple[Vector | None, str]:
    """The action's own vector and its model; None where that is still to be asked, which happens then."""
    endpoint = _endpoint_of(approval.agent)
    if endpoint is None:
        return lexical.vector(words_of(first)), lexical.NAME
    by = embedded_by(endpoint)
    row = Precedent.objects.filter(approval=approval, embedded_by=by).first()
    if row is None:
        wake(approval_id=str(approval.pk))
        return None, by
    return (None if row.embedding is None else list(row.embedding)), by


def _keep(rows: Sequence[Approval]) -> int:
    """Make and store vectors of these. Returns how many were made."""
    made = 0
    wordings = _first_wordings(rows)
    for agent in sorted({row.agent for row in rows}):
        mine = [row for row in rows if row.agent == agent]
        try:
            embedded = embed([words_of(wordings[row.pk]) for row in mine], endpoint=_endpoint_of(agent))
        except ModelFailure as failure:
            log.warning("precedents.no_vectors", agent=agent, error=str(failure))
            continue
        Precedent.objects.bulk_create(
            [
                Precedent(
                    approval=row,
                    tool=row.tool,
                    decided_at=_decided_at(row),
                    embedding=vector,
                    embedded_by=embedded.by,
                )
                for row, vector in zip(mine, embedded.vectors, strict=True)
            ],
            update_conflicts=True,
            unique_fields=["approval"],
            update_fields=["decided_at", "embedding", "embedded_by"],
        )
        made += len(mine)
    return made


def _decided_at(approval: Approval) -> datetime | None:
    decision: Decision | None = getattr(approval, "decision", None)
    return decision.decided_at if decision else None


def _first_wordings(rows: Sequence[Approval]) -> dict[UUID, dict[str, object]]:
    """What the agent proposed: the next proposal is like that, whatever a person made of it."""
    edited = [row.pk for row in rows if row.revision > 1]
    first = Revision.objects.filter(approval__in=edited, number=1) if edited else ()
    return {row.pk: row.arguments for row in rows} | {row.approval_id: row.arguments for row in first}


def _endpoint_of(agent: str) -> Endpoint | None:
    found = Agent.objects.select_related("live_version").filter(name=agent).first() if agent else None
    return found.live_version.parsed.models.embeddings if found and found.live_version else None
