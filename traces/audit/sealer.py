"""Sealing: what was committed since the last seal goes under the next one. Nothing of it is done where events are written.

Events get their ids before they are committed, so one with a lower id may become visible later than one with a higher.
The sealer so goes only as far as no transaction can add to any more: it notes the newest id it sees, then waits for
everybody who holds the lock that writing an event takes (before its id is drawn) and held it at that moment. Whoever
comes later draws a higher id. Nobody waits for the sealer.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from traces.audit import keys
from traces.audit.forms import NO_SEAL, Line, event_digest, seal_digest
from traces.audit.tree import root_of
from traces.models import Event, Seal
from traces.statement import ask

SEALER_LOCK = 0x7365616C  # of Postgres' advisory locks
BATCH = 1000  # events of a seal at most
WRITERS_SECONDS = 5.0  # that are given to those who are writing
LOOK_EVERY = 0.02  # s

_WRITERS = """
    SELECT virtualtransaction FROM pg_locks
    WHERE relation = 'traces_event'::regclass AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid IS DISTINCT FROM pg_backend_pid()
"""
_UNSEALED = """
    SELECT id, name, at, actor, object_id, run_id::text, data FROM traces_event
    WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3
"""


def seal_due(*, seconds: float = 20.0) -> int:
    """Seal what is committed; how many events. Stops after `seconds`, or where another process is sealing.

    Raises sealing.Unreadable where the key can't be read.
    """
    deadline = time.monotonic() + seconds
    horizon = horizon_now()
    sealed = 0
    while horizon and (count := _seal_batch(horizon)):
        sealed += count
        if time.monotonic() >= deadline:
            break
    return sealed


def horizon_now(*, patience: float = WRITERS_SECONDS) -> int:
    """The newest event up to which all are committed that ever will be; 0 where somebody writes for too long."""
    newest = Event.objects.aggregate(newest=Max("pk"))["newest"] or 0
    sealed = Seal.objects.aggregate(last=Max("last_event"))["last"] or 0
    if newest <= sealed:
        return 0
    deadline = time.monotonic() + patience
    earlier = writing = _writers()
    while writing & earlier:
        if time.monotonic() >= deadline:
            return 0
        time.sleep(LOOK_EVERY)
        writing = _writers()
    return newest


def unsealed_count() -> int:
    """How many events wait for their seal."""
    last = Seal.objects.aggregate(last=Max("last_event"))["last"] or 0
    return Event.objects.filter(pk__gt=last).count()


def event_line(event: Event) -> Line:
    """An event as it is hashed and exported."""
    run_id = str(event.run_id) if event.run_id else None
    return _line(event.data, event.pk, event.name, event.at, event.actor, event.object_id, run_id)


def _line(
    data: Any, pk: int, name: str, at: datetime, actor: str, object_id: str, run_id: str | None
) -> Line:
    """The one form of an event, by the columns that `_UNSEALED` names; its data, read from JSON, first."""
    return {
        "id": pk,
        "name": name,
        "at": moment(at),
        "actor": actor,
        "object_id": object_id,
        "run_id": run_id,
        "data": data,
    }


def seal_line(seal: Seal) -> Line:
    """A seal likewise, without its leaves."""
    return {
        "number": seal.number,
        "first_event": seal.first_event,
        "last_event": seal.last_event,
        "count": seal.count,
        "previous": seal.previous,
        "root": seal.root,
        "key": seal.key,
        "sealed_at": moment(seal.sealed_at),
        "digest": seal.digest,
        "signature": seal.signature,
    }


def moment(at: datetime) -> str:
    """A time to the microsecond, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _writers() -> set[str]:
    """The transactions that have written events, or are about to."""
    with connection.cursor() as cursor:
        cursor.execute(_WRITERS)
        return {row[0] for row in cursor.fetchall()}


@transaction.atomic
def _seal_batch(horizon: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEALER_LOCK])
        if not cursor.fetchone()[0]:
            return 0
    before = Seal.objects.defer("leaves").order_by("-number").first()
    # Past the ORM, since this is asked for every event that there ever is.
    events = ask(_UNSEALED, before.last_event if before else 0, horizon, BATCH)
    if not events:
        return 0
    signer = keys.signer()
    leaves = [event_digest(_line(json.loads(data), *columns)) for *columns, data in events]
    seal = Seal(
        number=before.number + 1 if before else 1,
        first_event=events[0][0],
        last_event=events[-1][0],
        count=len(events),
        previous=before.digest if before else NO_SEAL,
        leaves=b"".join(leaves),
        root=root_of(leaves).hex(),
        key=signer.public,
        sealed_at=timezone.now(),
    )
    seal.digest = seal_digest(seal_line(seal))
    seal.signature = signer.sign(seal.digest, what="seal")
    seal.save(force_insert=True)
    return len(events)
