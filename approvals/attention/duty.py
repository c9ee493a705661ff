"""When people are on duty, and who stands in for those who are away."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import transaction

from approvals.access import PEOPLE, Actor, roles_of
from approvals.attention.models import Delegation, DutyHours
from approvals.exceptions import Invalid, NotAllowed
from traces.recorder import record

DAY = timedelta(days=1)


def on_duty(user: User, *, now: datetime) -> bool:
    """Whether one of the person's duty hours holds now; who has none is always on duty."""
    hours = list(DutyHours.objects.filter(user=user))
    return not hours or any(covers(row, now=now) for row in hours)


def covers(row: DutyHours, *, now: datetime) -> bool:
    """Whether `now` lies in these hours, which belong to the day on which they begin."""
    local = now.astimezone(ZoneInfo(row.time_zone))
    time = local.time()
    if row.begins < row.ends:
        return local.weekday() in row.weekdays and row.begins <= time < row.ends
    if time >= row.begins:
        return local.weekday() in row.weekdays
    return time < row.ends and (local - DAY).weekday() in row.weekdays


def delegation_of(user: User, *, now: datetime) -> Delegation | None:
    """Who stands in for `user` now."""
    rows = Delegation.objects.filter(user=user, begins_at__lte=now, ends_at__gt=now, to__is_active=True)
    return rows.select_related("to", "user").order_by("-begins_at").first()


def stand_in(user: User, *, now: datetime) -> User:
    """Who acts for `user` now: whoever stands in, or whoever stands in for that one, or `user`.

    Where those who are away name each other, it stays with the last who was not asked before.
    """
    asked = [user]
    while (row := delegation_of(asked[-1], now=now)) and row.to not in asked:
        asked.append(row.to)
    return asked[-1]


def delegate(*, actor: Actor, to: User, begins_at: datetime, ends_at: datetime, now: datetime) -> Delegation:
    """Let `to` stand in. It gives no role: they decide only what they may decide themselves. Raises Invalid."""
    if ends_at <= begins_at or ends_at <= now:
        raise Invalid("The end must be after the beginning, and still to come.")
    if to == actor.user:
        raise Invalid("Somebody else must stand in for you.")
    if not to.is_active or not roles_of(to) & PEOPLE:
        raise Invalid(f"{to.get_username()} has no role here, and can't stand in.")
    with transaction.atomic():
        row = Delegation.objects.create(user=actor.user, to=to, begins_at=begins_at, ends_at=ends_at)
        _record("delegation.begun", row, actor)
    return row


def end_delegation(delegation_id: int, *, actor: Actor, now: datetime) -> None:
    """Be back: from now on, or not go at all. Raises NotAllowed."""
    with transaction.atomic():
        row = Delegation.objects.select_for_update().filter(pk=delegation_id, user=actor.user).first()
        if row is None:
            raise NotAllowed("Only who is away can end this.")
        _record("delegation.ended", row, actor)
        if row.begins_at < now:
            Delegation.objects.filter(pk=row.pk).update(ends_at=min(row.ends_at, now))
        else:
            row.delete()


def _record(name: str, row: Delegation, actor: Actor) -> None:
    data = {
        "user": row.user.get_username(),
        "to": row.to.get_username(),
        "begins_at": row.begins_at.isoformat(),
        "ends_at": row.ends_at.isoformat(),
    }
    record(name, actor=str(actor), object_id=str(row.pk), data=data)
