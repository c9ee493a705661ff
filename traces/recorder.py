"""Writing down what happened: always inside the caller's transaction, so that it is true or it is not there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from traces import feed
from traces.models import Event, Span, SpanBody
from traces.redaction import redact

PREVIEW_CHARS = 300

Listener = Callable[[Event], None]
_listeners: list[tuple[str, Listener]] = []


def subscribe(prefix: str, listener: Listener) -> None:
    """Call `listener` after the commit of each event whose name starts with `prefix`.

    A listener only wakes something up, quickly: what it would do must also be found without it, since a process
    can die between commit and call. Floors above the writer listen so (`AppConfig.ready`), it never imports them.
    """
    if (prefix, listener) not in _listeners:
        _listeners.append((prefix, listener))


def record(
    name: str,
    *,
    actor: str,
    object_id: UUID | str = "",
    run_id: UUID | None = None,
    data: dict[str, Any] | None = None,
) -> Event:
    """Add one event; after the commit it goes to the live feed and to the listeners."""
    return record_all(
        [Event(name=name, actor=actor, object_id=str(object_id), run_id=run_id, data=redact(data or {}))]
    )[0]


def record_all(events: Sequence[Event]) -> Sequence[Event]:
    """Add several events with one statement."""
    now = timezone.now()
    for event in events:
        event.at = now
    Event.objects.bulk_create(events)
    transaction.on_commit(lambda: _announce(events))
    return events


def _announce(events: Sequence[Event]) -> None:
    feed.publish(events)
    for event in events:
        for prefix, listener in _listeners:
            if event.name.startswith(prefix):
                listener(event)


@dataclass(slots=True)
class Recorded:
    """A span with its body, ready to be written."""

    span: Span
    input: Any = None
    output: Any = None


def write_spans(recorded: Sequence[Recorded]) -> None:
    """Add finished spans with their bodies."""
    bodies = []
    for item in recorded:
        item.span.preview = item.span.preview[:PREVIEW_CHARS].replace("\x00", "\ufffd")
        if item.input is not None or item.output is not None:
            bodies.append(SpanBody(span=item.span, input=redact(item.input), output=redact(item.output)))
    Span.objects.bulk_create([item.span for item in recorded])
    if bodies:
        SpanBody.objects.bulk_create(bodies)
