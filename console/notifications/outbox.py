"""From events to notices. A sweep reads what was committed since the last one, so that no crash loses a word."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from approvals.models import Approval
from console.notifications.audience import OF_CARE, OF_REQUESTS, TOLD_OF, Audience
from console.notifications.models import Channel, Notice, ReadUntil
from console.notifications.quiet import quiet_until
from traces.models import Event

SETTLED_AFTER = timedelta(
    seconds=20
)  # longer than a transaction stays open: by then no earlier event can appear
BATCH = 2000


def collect(*, now: datetime) -> int:
    """Write the notices of what happened since the last time. Returns how many events were looked at.

    Events commit in another order than that of their ids, so the newest are read again each time; a notice is unique
    by channel and event.
    """
    with transaction.atomic():
        read = ReadUntil.objects.select_for_update(skip_locked=True).first()
        if read is None:
            if not ReadUntil.objects.exists():  # of two at once, one makes it; what was before is not told
                ReadUntil.objects.bulk_create(
                    [ReadUntil(pk=1, event_id=_newest(now) or 0)], ignore_conflicts=True
                )
            return 0
        fresh = Event.objects.filter(pk__gt=read.event_id, name__in=TOLD_OF).order_by("pk")
        events = list(fresh[:BATCH]) if Channel.objects.filter(paused=False).exists() else []
        if events:
            _write(events, now=now)
        # Where there is more than one batch, all of this one is old enough or comes again.
        within = Event.objects.filter(pk__gt=read.event_id)
        if len(events) == BATCH:
            within = within.filter(pk__lte=events[-1].pk)
        settled = within.filter(at__lt=now - SETTLED_AFTER).aggregate(last=Max("pk"))["last"]
        if settled:
            ReadUntil.objects.update(event_id=settled)
    return len(events)


def _write(events: list[Event], *, now: datetime) -> None:
    about = {event.object_id for event in events if event.name in (*OF_REQUESTS, *OF_CARE)}
    approvals = Approval.objects.in_bulk([UUID(pk) for pk in about])
    known = set(
        Notice.objects.filter(event_id__in=[event.pk for event in events]).values_list(
            "channel_id", "event_id"
        )
    )
    audience = Audience(now)
    notices = []
    for event in events:
        approval = approvals.get(UUID(event.object_id)) if event.object_id in about else None
        for channel, topic, away in audience.channels_for(event, approval).values():
            if (channel.pk, event.pk) in known or event.at < channel.created_at:
                continue
            notices.append(
                Notice(
                    channel=channel,
                    event_id=event.pk,
                    topic=topic,
                    object_id=event.object_id,
                    stands_in_for=away,
                    created_at=now,
                    next_at=quiet_until(channel, now=now) or now,
                )
            )
    Notice.objects.bulk_create(notices, ignore_conflicts=True)


def _newest(now: datetime) -> int | None:
    newest: int | None = Event.objects.filter(at__lt=now).aggregate(last=Max("pk"))["last"]
    return newest
