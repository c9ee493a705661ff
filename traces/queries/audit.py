"""The audit log for reading: events newest first, by who, what and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import OuterRef, Q, QuerySet, Subquery

from traces.models import AUDITED, Event, Seal
from traces.queries.paging import BadCursor


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some events, each with the number of its `seal` (None: not sealed yet), and where the list goes on."""

    items: Sequence[Event]
    next: str | None


def named(*beginnings: str) -> Q:
    """Events whose name is one of these, or begins with one that ends in a dot."""
    found = Q()
    for beginning in beginnings:
        found |= Q(name__startswith=beginning) if beginning.endswith(".") else Q(name=beginning)
    return found


def find_events(
    *,
    kind: Q | None = None,
    actors: Sequence[str] = (),
    about: Q | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    work: bool = False,
) -> QuerySet[Event]:
    """The events that match all that is given; what runs do by themselves only with `work`."""
    rows = Event.objects.all() if work or about is not None else Event.objects.filter(AUDITED)
    if kind is not None:
        rows = rows.filter(kind)
    if actors:
        rows = rows.filter(actor__in=actors)
    if about is not None:
        rows = rows.filter(about)
    if since is not None:
        rows = rows.filter(at__gte=since)
    if until is not None:
        rows = rows.filter(at__lt=until)
    return rows


def newest_events(rows: QuerySet[Event], *, cursor: str = "", size: int = 50) -> EventPage:
    """The page of `rows` that begins below the id `cursor`. Raises BadCursor."""
    if cursor:
        if not cursor.isdecimal() or len(cursor) > 18:
            raise BadCursor(f"{cursor!r} is not a cursor of this list.")
        rows = rows.filter(pk__lt=int(cursor))
    covering = Seal.objects.filter(last_event__gte=OuterRef("pk")).order_by("last_event")
    found = list(rows.order_by("-pk").annotate(seal=Subquery(covering.values("number")[:1]))[: size + 1])
    return EventPage(items=found[:size], next=str(found[size - 1].pk) if len(found) > size else None)
