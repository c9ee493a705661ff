"""Audit exports: the log as a whole, or some events of it with the proof that each was sealed."""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from traces.audit import keys
from traces.audit.forms import FORMAT, NO_SEAL, Line, digest, event_digest
from traces.audit.sealer import event_line, moment, seal_line
from traces.audit.tree import paths_of
from traces.audit.verification import HASH
from traces.models import Event, Seal


class NothingSealed(Exception):
    """There is no seal yet, so nothing can be proven: the sealer works every few seconds."""


def log_lines(*, first: int = 1) -> Iterator[Line]:
    """All that is sealed, from the seal `first` on: header, each seal after its events, closing line.

    Raises NothingSealed.
    """
    last = Seal.objects.defer("leaves").order_by("-number").first()
    if last is None or last.number < first:
        raise NothingSealed("Nothing is sealed there yet: the sealer works every few seconds.")
    before = Seal.objects.filter(number=first - 1).values_list("digest", flat=True).first()
    header = _header("log", first_seal=first, last_seal=last.number, previous=before or NO_SEAL)
    yield header
    head, count = NO_SEAL, 0
    for seal, events in stored_seals(first=first, last=last.number):
        for event in events:
            yield {"kind": "event", **event_line(event)}
        yield {"kind": "seal", **seal_line(seal), "leaves": bytes(seal.leaves).hex()}
        head, count = seal.digest, count + 1
    yield _closing(header, seals=count, head=head)


def stored_seals(*, first: int = 1, last: int | None = None) -> Iterator[tuple[Seal, list[Event]]]:
    """Each seal as it is stored, with the events that are where it should cover them."""
    seals = Seal.objects.filter(number__gte=first).order_by("number")
    if last is not None:
        seals = seals.filter(number__lte=last)
    before = Seal.objects.filter(number__lt=first).order_by("-number").values_list("last_event", flat=True)
    after = before.first()
    for seal in seals.iterator(chunk_size=20):
        events = Event.objects.filter(pk__lte=seal.last_event).order_by("pk")
        if after is not None:
            events = events.filter(pk__gt=after)
        yield seal, list(events[: len(seal.leaves) // HASH + 1])  # one too many shows as well as all
        after = max(after or 0, seal.last_event)


def excerpt_lines(events: Iterable[Event], *, claims: Sequence[Line] = (), **told: Any) -> Iterator[Line]:
    """Some events, in the order of their ids, each with its seal and the proof; those not sealed yet are left out.

    `told` goes into the header; `claims` say what stands in which field of which event.
    """
    header = _header("excerpt", **told, **({"claims": list(claims)} if claims else {}))
    yield header
    numbers: list[int] = []
    ids: list[int] = []
    for seal, covered in _by_seal(events):
        yield {"kind": "seal", **seal_line(seal)}
        numbers.append(seal.number)
        leaves = [bytes(seal.leaves[at : at + HASH]) for at in range(0, len(seal.leaves), HASH)]
        hashed = [event_digest(event_line(event)) for event in covered]
        # One that was changed has no place; then the file tells that by itself.
        places = [leaves.index(leaf) if leaf in leaves else 0 for leaf in hashed]
        for event, place, path in zip(covered, places, paths_of(leaves, places), strict=True):
            ids.append(event.pk)
            yield {
                "kind": "event",
                **event_line(event),
                "seal": seal.number,
                "place": place,
                "path": [part.hex() for part in path],
            }
    yield _closing(header, seals=numbers, events=ids)


def written(lines: Iterable[Line]) -> Iterator[str]:
    """JSON Lines."""
    return (json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def document(lines: Iterable[Line]) -> str:
    """The lines as one JSON document, for people to look at."""
    return json.dumps({"format": FORMAT, "lines": list(lines)}, indent=2) + "\n"


def seal_of(event_id: int) -> Seal | None:
    """The seal that covers an event; None while it waits for one."""
    return Seal.objects.defer("leaves").filter(last_event__gte=event_id).order_by("last_event").first()


def _by_seal(events: Iterable[Event]) -> Iterator[tuple[Seal, list[Event]]]:
    covering: Seal | None = None

    def seal_for(event: Event) -> Seal | None:
        nonlocal covering
        if covering is None or event.pk > covering.last_event:
            covering = Seal.objects.filter(last_event__gte=event.pk).order_by("last_event").first()
        return covering

    for seal, covered in itertools.groupby(events, key=seal_for):
        if seal is not None:
            yield seal, list(covered)


def _header(what: str, **told: Any) -> Line:
    return {
        "kind": "header",
        "format": FORMAT,
        "what": what,
        "keys": keys.public_keys(),
        "made_at": moment(timezone.now()),
        **told,
    }


def _closing(header: Line, **told: Any) -> Line:
    with transaction.atomic():
        signer = keys.signer()
    line = {"kind": "closing", "header": digest(header), **told, "key": signer.public}
    return line | {"signature": signer.sign(digest(line), what="export")}
