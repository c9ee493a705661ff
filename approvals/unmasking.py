"""Planted tests before and after they are told to be some: what each is shown with, and the moment of telling.

It is told when it is decided, or its time is up.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from approvals.access import Actor
from approvals.models import Approval, Canary, CanaryResult
from approvals.states import ApprovalStatus
from traces.recorder import record
from traces.statement import ask

RESULTS = {
    "approve": CanaryResult.MISSED,
    "edit": CanaryResult.CHANGED,
    "reject": CanaryResult.CAUGHT,
    "escalate": CanaryResult.CAUGHT,
    "grant": CanaryResult.MISSED,
    "expire": CanaryResult.EXPIRED,
}
LIKE_ANOTHER = (
    "SELECT true FROM approvals_canary WHERE like_id IS NOT NULL AND approval_id = ANY ($1) LIMIT 1"
)
_LIKE = "_gatehouse_like"  # kept on the object, that is for one request
_TOLD = {
    CanaryResult.CAUGHT: "{who} caught it.",
    CanaryResult.CHANGED: "{who} changed it, and so looked.",
    CanaryResult.MISSED: "{who} let it through.",
    CanaryResult.EXPIRED: "Nobody decided it in time.",
}


def could_be_planted(approval: Approval) -> bool:
    """Whether nobody who could act on it asked: true of planted tests, and told without asking the database."""
    return approval.run_id is None and approval.requested_by_id is None and approval.call_id is None


def shown_as(approval: Approval) -> Approval:
    """Whose run, asker and call a request is shown with: its own; while a planted test waits, those of a real one.

    For showing alone: nothing that acts may follow what this returns.
    """
    like = masked_as(approval)
    return like if approval.status == ApprovalStatus.PENDING else approval


def masked_as(approval: Approval) -> Approval:
    """The request whose run says what of this one is masked: its own; of a planted test that of the one it is like.

    It was made in the image of that one, so that this holds after it is settled, too.
    """
    if not could_be_planted(approval):
        return approval
    if not hasattr(approval, _LIKE):
        setattr(approval, _LIKE, _likes([approval.pk]).get(approval.pk))
    return getattr(approval, _LIKE) or approval


def dress_rows(rows: Iterable[dict[str, Any]]) -> None:
    """Show planted tests among plain values of requests with run and asker of what they are like."""
    bare = [row for row in rows if row["run_id"] is None and row["requested_by_id"] is None]
    likes = _likes([row["pk"] for row in bare]) if bare else {}
    for row in bare:
        if (like := likes.get(row["pk"])) is not None:
            row["run_id"] = like.run_id
            row["asker"] = like.requested_by.get_username() if like.requested_by else None


def planted_beside(run_ids: Iterable[UUID]) -> QuerySet[Approval]:
    """The planted tests that wait and are shown with these runs. For people alone: a program waits for its own."""
    return Approval.objects.filter(
        canary__result=CanaryResult.WAITING, canary__like__run_id__in=list(run_ids)
    )


def _likes(ids: list[UUID]) -> dict[UUID, Approval]:
    if not ask(LIKE_ANOTHER, ids):  # as on most pages: a queue has fifty rows and no test
        return {}
    found = Canary.objects.filter(approval__in=ids, like__isnull=False)
    rows = found.select_related("like__requested_by").defer("like__context", "like__preview")
    return {row.approval_id: row.like for row in rows if row.like is not None}


def unmask(approval: Approval, word: str, *, actor: Actor | None, now: datetime) -> Canary | None:
    """Settle the test that this request is, where it is one, by what was said of it; in the caller's transaction.

    `word` is a verdict, escalate or expire.
    """
    if not could_be_planted(approval):
        return None
    canary = Canary.objects.filter(approval=approval, result=CanaryResult.WAITING).first()
    if canary is None:
        return None
    canary.result, canary.settled_at = RESULTS[word], now
    canary.user = actor.user if actor else None
    canary.save(update_fields=["result", "settled_at", "user"])
    record(
        f"canary.{canary.result}",
        actor=str(actor) if actor else "system",
        object_id=approval.pk,
        data={
            "approval": str(approval.pk),
            "tool": approval.tool,
            "agent": approval.agent,
            "said": word,
            "nonce": canary.nonce,
        },
    )
    return canary


def told(approval: Approval, *, to: Actor | None = None) -> str:
    """That it was a test, what was wrong, and what became of it; empty while it waits, and for real requests."""
    if not could_be_planted(approval):
        return ""
    settled = Canary.objects.filter(approval=approval).exclude(result=CanaryResult.WAITING)
    canary = settled.select_related("user").first()
    if canary is None:
        return ""
    who = canary.user.get_username() if canary.user else ""
    result = _TOLD[CanaryResult(canary.result)].format(who="You" if to and to.user == canary.user else who)
    return f"This was a test, planted by Gatehouse: there is no call that could have run. {canary.wrong} {result}"
