"""Storing spans of others: each once, and never in the place of one that isn't the sender's."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from pydantic_core import to_json

from traces.models import Span
from traces.otlp.reading import Reading
from traces.queries.totals import MODEL_OPERATIONS
from traces.recorder import Recorded

Price = Callable[[Span], Decimal | None]
MOST_USD = Decimal(1_000_000)  # that a column of costs can hold
SAID = 5  # reasons that an answer names

# A trace belongs to who sent its first span. Who comes at the same moment waits for the first to commit.
CLAIM = """
INSERT INTO traces_foreigntrace (trace_id, sender_id, at)
SELECT sent.id, %(sender)s, %(now)s FROM unnest(%(traces)s::text[]) AS sent (id)
WHERE NOT EXISTS (SELECT FROM traces_span WHERE trace_id = sent.id) ORDER BY sent.id
ON CONFLICT (trace_id) DO NOTHING
"""
MINE = """
SELECT trace_id FROM traces_foreigntrace AS held WHERE trace_id = ANY(%(traces)s::text[]) AND sender_id = %(sender)s
  AND NOT EXISTS (SELECT FROM traces_span WHERE trace_id = held.trace_id AND run_id IS NOT NULL)
"""
# One that is there stays, unless it was open and is of the same trace, which is the sender's.
STORE = """
WITH written AS (
  INSERT INTO traces_span AS held
  SELECT * FROM jsonb_populate_recordset(NULL::traces_span, %(spans)s::jsonb) AS sent ORDER BY sent.id
  ON CONFLICT (id) DO UPDATE SET {changes}
  WHERE held.trace_id = EXCLUDED.trace_id AND held.run_id IS NULL AND held.ended_at IS NULL
  RETURNING id
), bodies AS (
  INSERT INTO traces_spanbody (span_id, input, output)
  SELECT span_id, input, output FROM jsonb_populate_recordset(NULL::traces_spanbody, %(bodies)s::jsonb) AS body
  WHERE span_id IN (SELECT id FROM written) ORDER BY span_id
  ON CONFLICT (span_id) DO UPDATE SET input = EXCLUDED.input, output = EXCLUDED.output
)
SELECT id FROM written
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """How many spans are there now, how many are not, and why."""

    accepted: int
    rejected: int
    message: str


def store(reading: Reading, *, sender_id: int, now: datetime, price: Price) -> Stored:
    """Store what was read, in a transaction of its own: when this returns, it is committed.

    A span that is there already stays as it is; one that was open is replaced by what is sent later. Refused is what
    names a trace that Gatehouse recorded or another user sent, and what has the id of a span of another trace.
    """
    reasons = Counter(reading.rejected)
    spans = _distinct(reading.spans, reasons)
    _set_costs(spans, price)
    if spans:
        with transaction.atomic(), connection.cursor() as cursor:
            known: dict[str, Any] = {
                "sender": sender_id,
                "now": now,
                "traces": sorted({item.span.trace_id for item in spans}),
            }
            cursor.execute(CLAIM, known)
            cursor.execute(MINE, known)
            mine = {trace_id for (trace_id,) in cursor.fetchall()}
            for item in spans:
                if item.span.trace_id not in mine:
                    reasons[f"trace {item.span.trace_id} is not of this sender"] += 1
            kept = [item for item in spans if item.span.trace_id in mine]
            if kept:
                cursor.execute(STORE.format(changes=_CHANGES), _rows(kept))
                written = {span_id for (span_id,) in cursor.fetchall()}
                for span_id in _elsewhere([item.span for item in kept if item.span.pk not in written]):
                    reasons[f"span {span_id} is there in another trace"] += 1
    rejected = sum(reasons.values())
    total = len(reading.spans) + len(reading.rejected)
    return Stored(total - rejected, rejected, _words(reasons))


def _distinct(recorded: Sequence[Recorded], reasons: Counter[str]) -> list[Recorded]:
    """Each span once, the last that is complete."""
    found: dict[str, Recorded] = {}
    for item in recorded:
        before = found.setdefault(item.span.pk, item)
        if before.span.trace_id != item.span.trace_id:
            reasons[f"span {item.span.pk} is sent in two traces"] += 1
        elif before.span.ended_at is None or item.span.ended_at is not None:
            found[item.span.pk] = item
    return list(found.values())


def _set_costs(recorded: Sequence[Recorded], price: Price) -> None:
    for item in recorded:
        span = item.span
        if span.operation in MODEL_OPERATIONS and span.output_tokens is not None:
            cost = price(span)
            span.cost_usd = cost if cost is not None and cost < MOST_USD else None


def _elsewhere(spans: Sequence[Span]) -> list[str]:
    """Those whose ids are of spans in other traces; the rest are there already."""
    held = dict(Span.objects.filter(pk__in=[span.pk for span in spans]).values_list("pk", "trace_id"))
    return [span.pk for span in spans if held.get(span.pk) != span.trace_id]


def _rows(kept: Sequence[Recorded]) -> dict[str, str]:
    spans = [{name: getattr(item.span, name) for name in _COLUMNS} for item in kept]
    bodies = [
        {"span_id": item.span.pk, "input": item.input, "output": item.output}
        for item in kept
        if item.input is not None or item.output is not None
    ]
    return {"spans": _json(spans), "bodies": _json(bodies)}


def _json(rows: list[dict[str, Any]]) -> str:
    return to_json(rows).decode()


def _words(reasons: Counter[str]) -> str:
    said = [
        f"{reason} ({count} spans)" if count > 1 else reason for reason, count in reasons.most_common(SAID)
    ]
    more = [f"{len(reasons) - SAID} more reasons"] if len(reasons) > SAID else []
    return "; ".join([*said, *more])


_COLUMNS = [column.attname for column in Span._meta.concrete_fields]
_CHANGES = ", ".join(
    f"{name} = EXCLUDED.{name}" for name in _COLUMNS if name not in ("id", "trace_id", "run_id")
)
