"""Standing grants: what people allow for a while without being asked each time.

A grant is given like an approval: by people of the role, and by as many, as the rule asks; it never lets through what
they could not approve one by one. How calls use it stands in `approvals.places`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from approvals.access import ADMIN, OPERATOR, SERVICE, Actor, get_approval, require_may_decide, roles_of
from approvals.deciding import end_test
from approvals.exceptions import AlreadyResolved, Invalid, Missing, NotAllowed
from approvals.eyes import Needs, lacking, terms_of
from approvals.models import Grant, GrantConfirmation, Kind
from approvals.places import voices_of
from approvals.scopes import LARGEST, Scope, check_scope, in_words, is_number, round_up
from approvals.settling import require_pending
from approvals.stepup.gate import require_proven
from approvals.unmasking import could_be_planted, shown_as
from traces.recorder import record

LONGEST = timedelta(days=30)
MOST_USES = 10_000


@dataclass(frozen=True, slots=True)
class Offer:
    """What a person allows."""

    agent: str
    tool: str
    tool_digest: str
    scope: Scope
    uses: int
    seconds: float
    subject: dict[str, Any] | None = None
    tainted: bool = False
    budget_of: str = ""
    budget: float | None = None
    role: str = OPERATOR
    approvers: int = 1
    roles: tuple[str, ...] = ()
    reason: str = ""
    approval_id: UUID | None = None
    covered: dict[str, Any] = field(default_factory=dict)


def grant_from_card(
    approval_id: UUID,
    *,
    actor: Actor,
    digest: str,
    scope: Scope,
    uses: int,
    seconds: float,
    now: datetime,
    subject_only: bool = True,
    tainted: bool = False,
    budget_of: str = "",
    budget: float | None = None,
    reason: str = "",
) -> Grant | None:
    """Allow calls like the one that this request shows, which itself still waits. `seconds` is how long.

    None where it was a planted test: that ends it, and nothing is allowed. Raises NotAllowed, Missing, AlreadyResolved, Invalid.
    """
    approval = get_approval(approval_id, actor=actor)
    require_may_decide(actor, approval)
    require_pending(approval)
    if approval.kind != Kind.ACTION or shown_as(approval).call_id is None:
        raise Invalid("Only calls of agents that run here can be granted: another program asks each time.")
    terms = terms_of(approval)
    if terms.hold:
        raise Invalid("The rule holds each of these so that it can be recalled: they are decided one by one.")
    if terms.step_up:
        raise Invalid("The rule asks for a second factor each time: they are decided one by one.")
    if digest != approval.digest:
        raise Invalid("This changed since it was shown to you: look at it again.")
    offer = Offer(
        agent=approval.agent,
        tool=approval.tool,
        tool_digest=approval.tool_digest,
        scope=scope,
        uses=uses,
        seconds=seconds,
        subject=approval.subject if subject_only else None,
        tainted=tainted,
        budget_of=budget_of,
        budget=budget,
        role=approval.role,
        approvers=approval.approvers,
        roles=tuple(terms.roles),
        reason=reason,
        approval_id=approval.pk,
    )
    if could_be_planted(approval):
        _check(offer, actor=actor, now=now)
        end_test(approval.pk, "grant", actor=actor, digest=digest, now=now)
        return None
    return give(offer, actor=actor, now=now)


def give(offer: Offer, *, actor: Actor, now: datetime) -> Grant:
    """Allow it, as far as one person can: it is live once as many as its rule asks have confirmed it.

    Raises NotAllowed, Invalid.
    """
    _check(offer, actor=actor, now=now)
    with transaction.atomic():
        grant = Grant.objects.create(
            agent=offer.agent,
            tool=offer.tool,
            tool_digest=offer.tool_digest,
            scope={name: dict(limit) for name, limit in offer.scope.items()},
            subject=offer.subject,
            tainted=offer.tainted,
            uses=offer.uses,
            budget_of=offer.budget_of if offer.budget is not None else "",
            budget=_budget(offer),
            role=offer.role,
            approvers=offer.approvers,
            roles=list(offer.roles),
            reason=offer.reason,
            approval_id=offer.approval_id,
            covered=offer.covered,
            made_by=actor.user,
            made_at=now,
            expires_at=now + timedelta(seconds=offer.seconds),
        )
        _record(grant, "grant.made", actor, {"scope": in_words(grant.scope), "uses": grant.uses})
        _confirm(grant, actor, now)
    return grant


def _check(offer: Offer, *, actor: Actor, now: datetime) -> None:
    """Raise NotAllowed or Invalid where this person can't allow that."""
    _require_may_grant(actor, offer.role, now=now)
    check_scope(offer.scope)
    if not 0 < offer.seconds <= LONGEST.total_seconds():
        raise Invalid(f"A grant lasts at most {LONGEST.days} days, and more than no time.")
    if not 0 < offer.uses <= MOST_USES:
        raise Invalid(f"A grant is for 1 to {MOST_USES:,} calls.")
    _budget(offer)


def confirm(grant_id: UUID, *, actor: Actor, now: datetime) -> Grant:
    """Say yes to a grant that somebody else made. Raises NotAllowed, Missing, AlreadyResolved."""
    with transaction.atomic():
        grant = _lock(grant_id)
        _require_may_grant(actor, grant.role, now=now)
        if grant.live_at is not None or grant.revoked_at is not None or grant.expires_at <= now:
            raise AlreadyResolved("This grant waits for nobody.", status="live" if grant.live_at else "over")
        if grant.confirmations.filter(user=actor.user).exists():
            raise AlreadyResolved("You confirmed this already; somebody else must.", status="waiting")
        _confirm(grant, actor, now)
    return grant


def revoke(grant_id: UUID, *, actor: Actor, now: datetime, reason: str = "") -> Grant:
    """End a grant: no call is claimed under it once this returns. Any operator may. Raises NotAllowed, Missing, AlreadyResolved."""
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Revoking a grant needs the role operator or admin.")
    with transaction.atomic():
        grant = _lock(grant_id)
        if grant.revoked_at is not None:
            raise AlreadyResolved("This grant was revoked before.", status="revoked")
        _revoke(grant, actor, now, reason)
    return grant


def revoke_for_halt(agent: str, tool: str, *, actor: Actor, now: datetime) -> None:
    """An emergency stop ends the grants that it stops: what comes after it is asked. In the caller's transaction."""
    standing = Grant.objects.select_for_update().filter(revoked_at=None, expires_at__gt=now)
    stopped = {name: value for name, value in (("agent", agent), ("tool", tool)) if value}
    for grant in standing.filter(**stopped):
        _revoke(grant, actor, now, "An emergency stop was pressed.")


def waiting_for_confirmation(now: datetime) -> QuerySet[Grant]:
    """Grants that more people must confirm."""
    return _standing(now).filter(live_at=None)


def live(now: datetime) -> QuerySet[Grant]:
    """Grants that hold now, used up or not."""
    return _standing(now).filter(live_at__isnull=False)


def over(now: datetime) -> QuerySet[Grant]:
    """Grants that hold no more, newest first."""
    ended = Q(revoked_at__isnull=False) | Q(expires_at__lte=now)
    rows = Grant.objects.filter(ended).select_related("made_by", "revoked_by")
    return rows.prefetch_related("confirmations__user").order_by("-made_at")


def _standing(now: datetime) -> QuerySet[Grant]:
    rows = Grant.objects.filter(revoked_at=None, expires_at__gt=now).select_related("made_by")
    return rows.prefetch_related("confirmations__user").order_by("expires_at")


def _require_may_grant(actor: Actor, role: str, *, now: datetime) -> None:
    if SERVICE in actor.roles or SERVICE in roles_of(actor.user):
        raise NotAllowed("A service can ask for approval, never grant. Sign in as a person.")
    if actor.via == "token" and "decide" not in actor.scopes:
        raise NotAllowed("This token lacks the scope 'decide': use the console.")
    if role not in actor.roles and ADMIN not in actor.roles:
        raise NotAllowed(f"Granting this needs the role {role}, as deciding it does.")
    if settings.STEP_UP_RISK:  # a grant stands for decisions that nobody proves
        require_proven(actor, now=now, what="Granting")


def _budget(offer: Offer) -> Decimal | None:
    if offer.budget is None:
        return None
    if not is_number(offer.budget) or not 0 < offer.budget <= LARGEST:
        raise Invalid("A budget is a number above 0.")
    if offer.budget_of not in offer.scope:
        raise Invalid("Say which argument the budget adds up.")
    return round_up(Decimal(str(offer.budget)))


def _confirm(grant: Grant, actor: Actor, now: datetime) -> None:
    GrantConfirmation.objects.create(grant=grant, user=actor.user, role=actor.speaks_as, confirmed_at=now)
    missing = lacking(voices_of(grant), Needs(grant.approvers, grant.role, tuple(grant.roles)))
    if not missing:
        grant.live_at = now
        Grant.objects.filter(pk=grant.pk).update(live_at=now)
    _record(grant, "grant.live" if not missing else "grant.confirmed", actor, {"missing": missing})


def _revoke(grant: Grant, actor: Actor, now: datetime, reason: str) -> None:
    grant.revoked_by, grant.revoked_at, grant.revoked_because = actor.user, now, reason
    grant.save(update_fields=["revoked_by", "revoked_at", "revoked_because"])
    _record(grant, "grant.revoked", actor, {"reason": reason, "used": grant.used})


def _lock(grant_id: UUID) -> Grant:
    rows = Grant.objects.select_for_update(of=("self",)).select_related("made_by")
    grant = rows.filter(pk=grant_id).first()
    if grant is None:
        raise Missing(f"There is no grant {grant_id}.")
    return grant


def _record(grant: Grant, name: str, actor: Actor, data: dict[str, Any]) -> None:
    about = {"agent": grant.agent, "tool": grant.tool, "expires_at": grant.expires_at.isoformat()}
    record(name, actor=str(actor), object_id=grant.pk, data=about | data)
