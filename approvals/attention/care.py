"""Taking a request up, handing it over, talking about it, watching it. Each: lock, re-check, change, record."""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction

from approvals.access import (
    ADMIN,
    OPERATOR,
    PEOPLE,
    Actor,
    get_approval,
    may_decide,
    require_may_decide,
    roles_of,
)
from approvals.attention.duty import stand_in
from approvals.attention.models import Care, Comment, Watch
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed
from approvals.models import Approval
from approvals.states import ApprovalStatus
from traces.recorder import record

COMMENT_MAX = 2000  # characters
WARN_BEFORE = timedelta(minutes=10)  # of the end of a request
WARN_SHARE = 0.2  # of its whole time, where that is less
_MENTION = re.compile(r"(?<![\w@])@([\w.+-]+)")


def take(approval_id: UUID, *, actor: Actor, held_by: str, now: datetime) -> Care:
    """Take a request up; `held_by` is who had it as far as the person was shown, "" where nobody.

    Raises NotAllowed, Missing, AlreadyResolved where it was decided, or somebody else was first.
    """
    with transaction.atomic():
        approval = _pending(approval_id, actor=actor)
        require_may_decide(actor, approval)
        care = _care(approval)
        holder = care.holder.get_username() if care.holder else ""
        if care.holder == actor.user:
            return care
        if holder != held_by:
            words = f"{holder} took this" if holder else f"{held_by} has let go of this"
            raise AlreadyResolved(f"{words} meanwhile: look again.", status=approval.status)
        _hold(care, actor.user, now=now)
        _record(approval, "care.taken", actor, {"from": holder})
    return care


def release(approval_id: UUID, *, actor: Actor, now: datetime) -> None:
    """Let go of a request that the person holds. Raises NotAllowed where they don't."""
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor, lock=True)
        care = _care(approval)
        if care.holder != actor.user:
            raise NotAllowed("You don't hold this, so you can't let go of it.")
        _hold(care, None, now=now)
        _record(approval, "care.released", actor, {})


def give(approval_id: UUID, *, to: User, actor: Actor, now: datetime) -> Care:
    """Give a request to a person who may decide it; where they are away, to who stands in. Raises NotAllowed, Invalid."""
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Giving a request to somebody needs the role operator or admin.")
    with transaction.atomic():
        approval = _pending(approval_id, actor=actor)
        care = _care(approval)
        assign(care, approval, to=to, actor=actor, now=now)
    return care


def assign(care: Care, approval: Approval, *, to: User, actor: Actor | None, now: datetime) -> None:
    """The same with the row locked; `actor` None: the escalation chain gives it. Raises Invalid."""
    stands = stand_in(to, now=now)
    if not may_decide(Actor(stands), approval):
        raise Invalid(f"{stands.get_username()} may not decide this: choose somebody who may.")
    away = to if stands != to else None
    _hold(care, stands, now=now, given_by=actor.user if actor else None, away=away)
    data = {"to": stands.get_username(), "users": [stands.pk]}
    if away:
        data["stands_in_for"] = away.get_username()
    _record(approval, "care.assigned", actor, data)


def comment(approval_id: UUID, *, actor: Actor, text: str, now: datetime) -> Comment:
    """Say something about a request; who is mentioned by @name is told, and watches from then on. Raises Invalid."""
    text = text.strip()
    if not text:
        raise Invalid("Write something.", errors=[{"path": ["text"], "message": "required"}])
    if len(text) > COMMENT_MAX:
        raise Invalid(f"The comment has {len(text):,} characters: use at most {COMMENT_MAX:,}.")
    _require_person(actor)
    with transaction.atomic():
        approval = get_approval(approval_id, actor=actor)
        row = Comment.objects.create(
            approval=approval, user=actor.user, text=text.replace("\x00", "\ufffd"), at=now
        )
        mentioned = mentioned_in(text)
        watchers = [actor.user, *mentioned]
        Watch.objects.bulk_create(
            [Watch(approval=approval, user=user) for user in watchers], ignore_conflicts=True
        )
        users = [user.pk for user in mentioned if user != actor.user]
        _record(approval, "comment.added", actor, {"comment": row.pk, "users": users})
    return row


def mentioned_in(text: str) -> list[User]:
    """The people whose names stand behind an @; a full stop or comma after a name is none of it."""
    names = {name for found in _MENTION.findall(text) for name in (found, found.rstrip(".+-"))}
    users = User.objects.filter(username__in=names, is_active=True).order_by("pk")
    return [user for user in users if roles_of(user) & PEOPLE]


def watch(approval_id: UUID, *, actor: Actor, on: bool) -> None:
    """Be told what becomes of a request, or no more."""
    _require_person(actor)
    approval = get_approval(approval_id, actor=actor)
    with transaction.atomic():
        if on:
            _, changed = Watch.objects.get_or_create(approval=approval, user=actor.user)
        else:
            changed = bool(Watch.objects.filter(approval=approval, user=actor.user).delete()[0])
        if changed:
            _record(approval, f"watch.{'begun' if on else 'ended'}", actor, {})


def warn_of_ends(*, now: datetime, limit: int = 200) -> int:
    """Record once, for each request that expires soon, that it does. Returns how many."""
    soon = Approval.objects.filter(
        status=ApprovalStatus.PENDING, expires_at__gt=now, expires_at__lte=now + WARN_BEFORE
    ).exclude(care__warned_at__isnull=False)
    count = 0
    for approval in soon.order_by("expires_at")[:limit]:
        whole = approval.expires_at - approval.requested_at
        if approval.expires_at - now > min(WARN_BEFORE, whole * WARN_SHARE):
            continue
        with transaction.atomic():
            Care.objects.get_or_create(approval=approval)
            if Care.objects.filter(approval=approval, warned_at=None).update(warned_at=now):
                _record(approval, "care.expiring", None, {"expires_at": approval.expires_at.isoformat()})
                count += 1
    return count


def care_for_update(approval: Approval) -> Care:
    """The row, made where it is missing; the caller holds the request's lock."""
    return _care(approval)


def _care(approval: Approval) -> Care:
    Care.objects.get_or_create(approval=approval)
    rows = Care.objects.select_for_update(of=("self",))
    return rows.select_related("holder", "stands_in_for").get(approval=approval)


def _hold(
    care: Care, user: User | None, *, now: datetime, given_by: User | None = None, away: User | None = None
) -> None:
    care.holder, care.given_by, care.stands_in_for, care.since = user, given_by, away, now
    care.save(update_fields=["holder", "given_by", "stands_in_for", "since"])


def _pending(approval_id: UUID, *, actor: Actor) -> Approval:
    approval = get_approval(approval_id, actor=actor, lock=True)
    if approval.status != ApprovalStatus.PENDING:
        raise AlreadyResolved(f"This was {approval.status} already.", status=approval.status)
    return approval


def _require_person(actor: Actor) -> None:
    if not actor.roles & PEOPLE:
        raise NotAllowed("Only people talk about requests.")


def _record(approval: Approval, name: str, actor: Actor | None, data: dict[str, Any]) -> None:
    who = str(actor) if actor else "system"
    record(name, actor=who, object_id=approval.pk, run_id=approval.run_id, data=data)
