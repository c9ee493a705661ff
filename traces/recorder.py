"""Writing down what happened: always inside the caller's transaction, so that it is true or it is not there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from traces import feed
from traces.models import Event, Span, SpanBody
from traces.redaction import redact
from traces.rows import new
from traces.statement import Change

PREVIEW_CHARS = 300
CONTINUES = "continues"  # in a span's input: the span whose input comes first, with its messages before these
ANSWERED = (
    "answered"  # beside it: what that span brought as output comes in between, as a message of the assistant
)

Listener = Callable[[Event], None]
_listeners: list[tuple[str, Listener]] = []


def subscribe(prefix: str, listener: Listener) -> None:
    """Call `listener` after the commit of each event whose name starts with `prefix`.

    A listener only wakes something up, quickly: what it would do must also be found without it, since a process
    can die between commit and call. Floors above the writer listen so (`AppConfig.ready`), it never imports them.
    """
    if (prefix, listener) not in _listeners:
        _listeners.append((prefix, listener))


@dataclass(slots=True)
class Recorded:
    """A span with its body, ready to be written."""

    span: Span
    input: Any = None
    output: Any = None


@dataclass(slots=True)
class Page:
    """What was recorded and is not written yet: whoever opened the page writes it, with what it is about."""

    events: list[Event] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    bodies: list[SpanBody] = field(default_factory=list)
    ended: list[Change] = field(default_factory=list)
    kept: list[Model] = field(default_factory=list)

    def rows(self) -> list[Model]:
        """All of it, to be added by one statement in this order."""
        return [*self.kept, *self.spans, *self.bodies, *self.events]

    def join(self, later: "Page") -> "Page":
        """This and what was recorded later, as one. A span that is still to be written is written ended."""
        ends = {change.pk: change for change in later.ended}
        spans = [_ended(span, ends.pop(span.pk, None)) for span in self.spans]
        return Page(
            events=[*self.events, *later.events],
            spans=[*spans, *later.spans],
            bodies=[*self.bodies, *later.bodies],
            ended=[*self.ended, *ends.values()],
            kept=[*self.kept, *later.kept],
        )

    def announce(self) -> None:
        """To be called once it is written: after the commit, the feed and the listeners hear of it."""
        if not (events := self.events):
            return
        if connection.in_atomic_block:
            transaction.on_commit(lambda: _announce(events))
        else:
            _announce(events)  # each statement is its own transaction


def _ended(span: Span, end: Change | None) -> Span:
    if end is None:
        return span
    ended = copy(span)
    for name, value in end.values.items():
        setattr(ended, name, value)
    return ended


_page: ContextVar[Page | None] = ContextVar("page", default=None)


@contextmanager
def page() -> Iterator[Page]:
    """Collect what is recorded in the block, instead of writing each at once. The caller writes it."""
    collected = Page()
    token = _page.set(collected)
    try:
        yield collected
    finally:
        _page.reset(token)


def record(
    name: str,
    *,
    actor: str,
    object_id: UUID | str = "",
    run_id: UUID | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Add one event; after the commit it goes to the live feed and to the listeners."""
    record_all(
        [
            new(
                Event,
                name=name,
                at=None,
                actor=actor,
                object_id=str(object_id),
                run_id=run_id,
                data=redact(data or {}),
            )
        ]
    )


def note(
    name: str, *, actor: str, object_id: UUID | str = "", run_id: UUID | None = None, data: dict[str, Any]
) -> None:
    """Add one event to the log alone: no page shows anything else because of it, and nobody listens."""
    with page() as noted:
        record(name, actor=actor, object_id=object_id, run_id=run_id, data=data)
    Event.objects.bulk_create(noted.events)


def record_all(events: Sequence[Event]) -> None:
    """Add several events with one statement."""
    now = timezone.now()
    for event in events:
        event.at = now
    if (open_page := _page.get()) is not None:
        open_page.events.extend(events)
        return
    Event.objects.bulk_create(events)
    transaction.on_commit(lambda: _announce(events))


def write_spans(recorded: Sequence[Recorded]) -> None:
    """Add finished spans with their bodies."""
    collected = _page.get() or Page()
    for item in recorded:
        item.span.preview = item.span.preview[:PREVIEW_CHARS].replace("\x00", "\ufffd")
        collected.spans.append(item.span)
        if item.input is not None or item.output is not None:
            body = new(SpanBody, span=item.span, input=redact(item.input), output=redact(item.output))
            collected.bodies.append(body)
    if _page.get() is None:
        Span.objects.bulk_create(collected.spans)
        SpanBody.objects.bulk_create(collected.bodies)


def answer_as_message(output: Any) -> dict[str, Any] | None:
    """What a span of a model brought, as it stands in the prompts after it; None where it brought no answer."""
    if not isinstance(output, dict) or "text" not in output:
        return None
    calls = {"tool_calls": output["tool_calls"]} if output.get("tool_calls") else {}
    return {"role": "assistant", "text": output["text"], **calls}


def keep(*rows: Model) -> None:
    """Add rows that belong to what is recorded; they are written with it."""
    if (open_page := _page.get()) is not None:
        open_page.kept.extend(rows)
    else:
        for row in rows:
            row.save(force_insert=True)


def end_span(span_id: str, **values: Any) -> None:
    """Close a span that was written open."""
    if (open_page := _page.get()) is not None:
        open_page.ended.append(Change(Span, span_id, values))
    else:
        Span.objects.filter(pk=span_id).update(**values)


def _announce(events: Sequence[Event]) -> None:
    feed.publish(events)
    for event in events:
        for prefix, listener in _listeners:
            if event.name.startswith(prefix):
                listener(event)
