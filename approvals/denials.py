"""What a person denied is not asked again, until a person re-opens it."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef

from approvals.access import Actor, get_approval, require_may_decide
from approvals.exceptions import AlreadyResolved
from approvals.models import Approval, Kind, Reopening
from approvals.states import ApprovalStatus
from approvals.unmasking import could_be_planted, told
from traces.recorder import record

STANDS = timedelta(hours=24)  # for so long a denial answers whoever asks the same


def standing_denial(
    *, agent: str, digest: str, now: datetime, asked_by: User | None = None
) -> Approval | None:
    """The latest denial of exactly this action of the agent that still stands, with its decision; one query.

    `asked_by`: of another program, which has no agent here.
    """
    later = Reopening.objects.filter(
        approval__agent=OuterRef("agent"),
        approval__digest=OuterRef("digest"),
        reopened_at__gte=OuterRef("resolved_at"),
    )
    if asked_by is not None:
        later = later.filter(approval__requested_by=asked_by)
    denied = Approval.objects.filter(
        status=ApprovalStatus.DENIED,
        digest=digest,
        kind=Kind.ACTION,
        agent=agent,
        resolved_at__gt=now - STANDS,
    )
    # An agent's own have a call, which a planted test has not: its denial stands for nothing.
    denied = denied.filter(requested_by=asked_by, call_id=None) if asked_by else denied.exclude(call_id=None)
    return denied.exclude(Exists(later)).select_related("decision").order_by("-resolved_at").first()


def reopening_of(approval: Approval) -> Reopening | None:
    """Who let the denied action be asked again, where somebody did since."""
    found = Reopening.objects.filter(
        approval__agent=approval.agent,
        approval__digest=approval.digest,
        reopened_at__gte=approval.resolved_at,
    )
    if approval.call_id is None:  # another program's
        found = found.filter(approval__requested_by=approval.requested_by_id)
    return found.select_related("user").order_by("reopened_at").first()


def in_words(denial: Approval) -> str:
    """What is said to who asks for it again; `decision` is read with it."""
    reason = denial.decision.reason.rstrip(". ") or "no reason was given"
    return (
        f"A person denied exactly this call on {denial.resolved_at:%Y-%m-%d at %H:%M} UTC: {reason}. Nobody is asked "
        f"again. Don't propose it again, unless a person re-opens it: {settings.BASE_URL}/inbox/{denial.pk}"
    )


def reopen(approval_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Reopening:
    """Let what was denied be asked again. Doing it twice is one re-opening.

    Raises NotAllowed for who may not decide it, AlreadyResolved where nothing was denied.
    """
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor, lock=True)
        require_may_decide(actor, approval)
        if approval.status != ApprovalStatus.DENIED or approval.kind != Kind.ACTION:
            raise AlreadyResolved(
                f"Approval {approval.pk} is {approval.status}: only a denied action can be re-opened.",
                status=approval.status,
            )
        if could_be_planted(approval):
            raise AlreadyResolved(f"{told(approval)} Nothing is refused for it.", status=approval.status)
        if earlier := reopening_of(approval):
            return earlier
        row = Reopening.objects.create(approval=approval, user=actor.user, reason=reason, reopened_at=now)
        record(
            "approval.reopened",
            actor=str(actor),
            object_id=approval.pk,
            run_id=approval.run_id,
            data={"tool": approval.tool, "digest": approval.digest, "reason": reason},
        )
    return row
