"""Places in a grant: a call takes one when it is judged, by one conditional update, and gives it back if it never runs.

The statement that claims the call asks whether the grant still stands.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from approvals.eyes import Needs, Voice, lacking, uncovered
from approvals.models import Grant, GrantUse
from approvals.policy import RANK, Action, Verdict
from approvals.scopes import amount_of, covers
from traces.recorder import record
from traces.statement import Condition

GRANTED = "Grant "  # how the rule begins by which a call is allowed that has a place


def take_place(
    action: Action,
    verdict: Verdict,
    *,
    call_id: UUID,
    digest: str,
    tool_digest: str,
    stakes: Collection[tuple[int, str]],
    four_eyes: bool,
    now: datetime,
) -> Grant | None:
    """Take a place for a call about which the rule asks people; None where no grant covers it.

    Asked again for the same call, as after a crash, it tells the place that the call has.
    """
    if verdict.hold or verdict.step_up:  # what is recalled, or takes a second factor, is decided one by one
        return None
    standing = Grant.objects.filter(
        agent=action.agent,
        tool=action.tool,
        tool_digest=tool_digest,
        revoked_at=None,
        live_at__isnull=False,
        expires_at__gt=now,
    )
    grants = list(standing.select_related("made_by").order_by("expires_at", "pk"))
    if not grants:
        return None
    if (held := place_of(call_id)) is not None:
        if held.digest == digest and stands_for(held, verdict, now=now):
            return held.grant
        give_back(call_id, now=now)
    for grant in grants:
        if not _admits(grant, action, verdict):
            continue
        if four_eyes and not _is_independent(grant, verdict, tuple(stakes)):
            continue
        amount = amount_of(grant.budget_of, action.arguments) if grant.budget is not None else Decimal(0)
        if amount is not None and _take(grant, call_id, digest, amount, now):
            return grant
    return None


def place_of(call_id: UUID) -> GrantUse | None:
    """The place that the call has, if any."""
    rows = GrantUse.objects.filter(call_id=call_id, returned_at=None)
    return rows.select_related("grant__made_by").first()


def stands_for(place: GrantUse, verdict: Verdict, *, now: datetime) -> bool:
    """Whether the grant of this place still holds, and is enough for what the policy asks now."""
    grant = place.grant
    one_by_one = verdict.hold or verdict.step_up
    holds = grant.revoked_at is None and grant.expires_at > now and not one_by_one
    return holds and _is_strong_enough(grant, verdict)


def give_back(call_id: UUID, *, now: datetime) -> bool:
    """Free the place of a call that was never claimed; whether it had one."""
    with transaction.atomic():
        place = GrantUse.objects.select_for_update().filter(call_id=call_id, returned_at=None).first()
        if place is None:
            return False
        GrantUse.objects.filter(pk=place.pk).update(returned_at=now)
        Grant.objects.filter(pk=place.grant_id).update(used=F("used") - 1, spent=F("spent") - place.amount)
        record("grant.returned", actor="system", object_id=place.grant_id, data={"call": str(call_id)})
    return True


def still_granted(call_id: UUID, digest: str, now: datetime) -> Condition:
    """For the statement that claims: the call's grant stands. A revocation waits for the claims that did not see it."""
    return Condition(
        "EXISTS (SELECT 1 FROM approvals_grant, approvals_grantuse WHERE approvals_grantuse.call_id = %s"
        " AND approvals_grantuse.digest = %s AND approvals_grantuse.returned_at IS NULL"
        " AND approvals_grant.id = approvals_grantuse.grant_id AND approvals_grant.revoked_at IS NULL"
        " AND approvals_grant.expires_at > %s FOR SHARE OF approvals_grant)",
        (call_id, digest, now),
    )


def in_a_phrase(grant: Grant) -> str:
    """How a call that it lets through is said to be allowed."""
    return f"{GRANTED}{str(grant.pk)[-6:]} by {grant.made_by.get_username()}"


def voices_of(grant: Grant) -> list[Voice]:
    """Who gave it."""
    rows = grant.confirmations.select_related("user")
    return [Voice(row.user_id, row.user.get_username(), row.role) for row in rows]


def _admits(grant: Grant, action: Action, verdict: Verdict) -> bool:
    return (
        _is_strong_enough(grant, verdict)
        and (grant.tainted or not action.tainted)
        and (grant.subject is None or grant.subject == action.subject)
        and covers(grant.scope, action.arguments)
    )


def _is_strong_enough(grant: Grant, verdict: Verdict) -> bool:
    """Whether those who gave it are as many, and as high, as the verdict asks."""
    return (
        grant.approvers >= verdict.approvers
        and RANK.index(grant.role) >= RANK.index(verdict.role)
        and not uncovered(verdict.roles, grant.roles or [grant.role] * grant.approvers)
    )


def _is_independent(grant: Grant, verdict: Verdict, stakes: tuple[tuple[int, str], ...]) -> bool:
    """Whether somebody without a stake in this call gave it."""
    if settings.SINGLE_OPERATOR:
        return True
    needs = Needs(verdict.approvers, verdict.role, verdict.roles, stakes, four_eyes=True)
    return not lacking(voices_of(grant), needs)


def _take(grant: Grant, call_id: UUID, digest: str, amount: Decimal, now: datetime) -> bool:
    """One place, if one is left when it is taken: whoever comes at the same moment waits, and then sees what is left."""
    with transaction.atomic():
        rows = Grant.objects.filter(
            pk=grant.pk, revoked_at=None, expires_at__gt=now, used__lt=F("uses")
        ).filter(Q(budget=None) | Q(budget__gte=F("spent") + amount))
        if rows.update(used=F("used") + 1, spent=F("spent") + amount) != 1:
            return False
        GrantUse.objects.create(grant=grant, call_id=call_id, digest=digest, amount=amount, taken_at=now)
        record("grant.used", actor="system", object_id=grant.pk, data={"call": str(call_id)})
    return True
