"""Verifying the log where it is stored; and how that went the last time."""

from dataclasses import dataclass
from datetime import datetime

from traces.audit import keys
from traces.audit.export import stored_seals
from traces.audit.sealer import event_line, seal_line
from traces.audit.verification import Damage, Log, Report
from traces.models import Event
from traces.recorder import record


def verify_stored(*, pinned: list[str] | None = None, checkpoint: str = "") -> Report:
    """Check everything that is sealed in the database, by the keys that only this installation can have made.

    Raises Damage.
    """
    log = Log(pinned or keys.own_keys(), checkpoint=checkpoint)
    for seal, events in stored_seals():
        log.seal(seal_line(seal), bytes(seal.leaves), [event_line(event) for event in events])
    log.end()
    return log.report


def verify_and_record(*, actor: str) -> Report | Damage:
    """The same, with the result in the log itself."""
    try:
        report = verify_stored()
    except Damage as damage:
        record("audit.broken", actor=actor, data={"kind": damage.kind, "problem": str(damage)})
        return damage
    data = {"events": report.events, "seals": report.seals, "checkpoint": report.checkpoint}
    record("audit.verified", actor=actor, data=data)
    return report


@dataclass(frozen=True, slots=True)
class Verified:
    """The last verification."""

    at: datetime
    by: str
    problem: str  # empty: all was whole
    events: int
    checkpoint: str


def last_verification() -> Verified | None:
    """None where it never was."""
    event = Event.objects.filter(
        name__in=["audit.verified", "audit.broken"], run_id=None, object_id=""
    ).last()
    if event is None:
        return None
    data = event.data
    return Verified(
        event.at, event.actor, data.get("problem", ""), data.get("events", 0), data.get("checkpoint", "")
    )
