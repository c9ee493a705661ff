"""Tampering with the audit log, exported or stored: each kind is found, with its place."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection

from traces.audit import keys, sealer
from traces.audit.export import excerpt_lines, log_lines, written
from traces.audit.forms import Line, digest, event_digest, seal_digest
from traces.audit.keys import Signer
from traces.audit.sealer import seal_due
from traces.audit.stored import verify_stored
from traces.audit.tree import root_of
from traces.audit.verification import Damage, parse_lines, verify
from traces.ids import new_id
from traces.models import Event, Seal
from traces.recorder import record

pytestmark = [pytest.mark.django_db, pytest.mark.req("APR-9")]

RUN = new_id()


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten events, numbered from 1, under three seals: 4, 4 and 2."""
    monkeypatch.setattr(sealer, "BATCH", 4)
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE traces_event_id_seq RESTART")
    for number in range(10):
        actor = "user:ana" if number % 2 else "agent:teller"
        data = {"amount": number, "rate": 1.5, "note": "Ünï", "huge": 2**70}
        record(f"approval.number_{number}", actor=actor, object_id=f"A-{number}", run_id=RUN, data=data)
    assert seal_due() == 10


def exported() -> list[Line]:
    """All lines of the export."""
    return list(log_lines())


def read(lines: list[Line], **known: Any) -> Any:
    """Verify them as they come out of a file."""
    return verify(parse_lines(written(lines)), **known)


def place_of(lines: list[Line], kind: str, number: int) -> int:
    """Where the event or seal of that number, counted from 1, stands."""
    return [at for at, line in enumerate(lines) if line["kind"] == kind][number - 1]


Change = Callable[[list[Line]], None]


def edit(number: int, kind: str = "event", /, **values: Any) -> Change:
    return lambda lines: lines[place_of(lines, kind, number)].update(values)


def drop(number: int, kind: str = "event") -> Change:
    def change(lines: list[Line]) -> None:
        del lines[place_of(lines, kind, number)]

    return change


def swap(one: int, other: int, kind: str = "event") -> Change:
    def change(lines: list[Line]) -> None:
        here, there = place_of(lines, kind, one), place_of(lines, kind, other)
        lines[here], lines[there] = lines[there], lines[here]

    return change


def insert(before: int, **values: Any) -> Change:
    """A copy of the event before another, with these values."""

    def change(lines: list[Line]) -> None:
        at = place_of(lines, "event", before)
        lines.insert(at, lines[at - 1] | values)

    return change


def drop_seal_with_events(lines: list[Line]) -> None:
    del lines[place_of(lines, "seal", 1) + 1 : place_of(lines, "seal", 2) + 1]


def cut(lines: list[Line]) -> None:
    del lines[place_of(lines, "seal", 2) + 1 :]


def cut_but_closing(lines: list[Line]) -> None:
    del lines[place_of(lines, "seal", 2) + 1 : -1]


def without_last_line(lines: list[Line]) -> None:
    lines.pop()


def foreign_at_end(lines: list[Line]) -> None:
    lines.insert(-1, lines[place_of(lines, "event", 10)] | {"id": 10**6})


def after_the_end(lines: list[Line]) -> None:
    lines.append(lines[1])


def rehash(lines: list[Line], number: int) -> Line:
    """Make the hashes of a seal fit its events, as somebody without the key can."""
    at = place_of(lines, "seal", number)
    begins = place_of(lines, "seal", number - 1) + 1 if number > 1 else 1
    leaves = [event_digest(event) for event in lines[begins:at]]
    seal = lines[at]
    seal |= {"leaves": b"".join(leaves).hex(), "root": root_of(leaves).hex(), "count": len(leaves)}
    seal["digest"] = seal_digest(seal)
    return seal


def edit_and_rehash(lines: list[Line]) -> None:
    edit(6, actor="user:eve")(lines)
    rehash(lines, 2)


def rewrite(lines: list[Line], *, key_in_seals: bool, key_in_header: bool) -> None:
    """Edit, and sign everything with a key of one's own."""
    forger = Signer(Ed25519PrivateKey.generate())
    edit(1, actor="user:eve")(lines)
    previous = lines[0]["previous"]
    if key_in_header:
        lines[0]["keys"] = [forger.public]
    for number in (1, 2, 3):
        seal = lines[place_of(lines, "seal", number)]
        seal["previous"] = previous
        if key_in_seals:
            seal["key"] = forger.public
        rehash(lines, number)
        seal["signature"] = forger.sign(seal["digest"], what="seal")
        previous = seal["digest"]
    said = lines[-1] | {"head": previous, "header": digest(lines[0]), "key": forger.public}
    said.pop("signature")
    lines[-1] = said | {"signature": forger.sign(digest(said), what="export")}


def forged_signatures(lines: list[Line]) -> None:
    rewrite(lines, key_in_seals=False, key_in_header=False)


def foreign_key(lines: list[Line]) -> None:
    rewrite(lines, key_in_seals=True, key_in_header=False)


def all_replaced(lines: list[Line]) -> None:
    rewrite(lines, key_in_seals=True, key_in_header=True)


EXPORTED = [
    pytest.param(edit(3, name="approval.denied"), "event 3", "event_changed", id="name"),
    pytest.param(edit(3, actor="user:ben"), "event 3", "event_changed", id="actor"),
    pytest.param(edit(3, at="2026-01-01T00:00:00.000000+00:00"), "event 3", "event_changed", id="time"),
    pytest.param(edit(3, object_id="A-9"), "event 3", "event_changed", id="object"),
    pytest.param(edit(3, run_id=None), "event 3", "event_changed", id="run"),
    pytest.param(edit(3, data={"amount": 9}), "event 3", "event_changed", id="data"),
    pytest.param(edit(3, id=11), "event 11", "event_changed", id="id"),
    pytest.param(edit(3, remark="paid"), "line 4", "malformed", id="field-added"),
    pytest.param(drop(1), "at the beginning of seal 1", "event_missing", id="first-deleted"),
    pytest.param(drop(6), "after event 5", "event_missing", id="middle-deleted"),
    pytest.param(drop(8), "after event 7", "event_missing", id="last-of-a-seal-deleted"),
    pytest.param(drop(10), "after event 9", "event_missing", id="last-deleted"),
    pytest.param(swap(2, 3), "event 3", "event_moved", id="events-swapped"),
    pytest.param(swap(2, 6), "event 6", "event_changed", id="events-swapped-between-seals"),
    pytest.param(insert(3), "event 2", "event_repeated", id="duplicated"),
    pytest.param(insert(3, actor="user:eve"), "event 2", "event_added", id="inserted"),
    pytest.param(foreign_at_end, "event 1000000", "event_added", id="foreign-at-the-end"),
    pytest.param(after_the_end, "line 16", "appended", id="after-the-end"),
    pytest.param(drop(2, "seal"), "seal 2", "seal_missing", id="seal-deleted"),
    pytest.param(drop_seal_with_events, "seal 2", "seal_missing", id="seal-deleted-with-its-events"),
    pytest.param(swap(1, 2, "seal"), "seal 1", "seal_missing", id="seals-swapped"),
    pytest.param(edit(2, "seal", number=1), "seal 1", "seal_moved", id="seal-renumbered"),
    pytest.param(edit(2, "seal", count=3), "seal 2", "count", id="count"),
    pytest.param(edit(2, "seal", previous="0" * 64), "seal 2", "previous", id="previous-hash"),
    pytest.param(edit(2, "seal", sealed_at="2026-01-01T00:00:00.000000+00:00"), "seal 2", "seal_changed", id="sealed-at"),
    pytest.param(edit(2, "seal", last_event=9), "seal 2", "seal_changed", id="range"),
    pytest.param(edit(2, "seal", leaves="00" * 128), "seal 2", "leaves", id="leaves"),
    pytest.param(edit(2, "seal", signature="00" * 64), "seal 2", "signature", id="signature"),
    pytest.param(edit_and_rehash, "seal 2", "signature", id="re-hashed-without-the-key"),
    pytest.param(forged_signatures, "seal 1", "signature", id="signed-by-another"),
    pytest.param(foreign_key, "seal 1", "key", id="key-of-the-seals-replaced"),
    pytest.param(all_replaced, "seal 1", "key", id="all-replaced-with-another-key"),
    pytest.param(without_last_line, "after seal 3", "truncated", id="closing-line-cut"),
    pytest.param(cut, "after seal 2", "truncated", id="truncated"),
    pytest.param(cut_but_closing, "line 12", "truncated", id="truncated-before-the-closing-line"),
    pytest.param(lambda lines: lines[0].update(made_at="2020"), "line 1", "header", id="header-edited"),
    pytest.param(lambda lines: lines[0].update(first_seal=2), "seal 1", "seal_moved", id="header-range"),
    pytest.param(lambda lines: lines[0].update(previous="f" * 64), "seal 1", "previous", id="header-previous"),
    pytest.param(lambda lines: lines.pop(0) and None, "line 1", "header", id="header-gone"),
    pytest.param(lambda lines: lines[-1].update(signature="00" * 64), "line 15", "closing", id="closing-signature"),
    pytest.param(list.clear, "line 1", "truncated", id="emptied"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "place", "kind"), EXPORTED)
def test_what_was_done_to_an_export_is_found(change: Change, place: str, kind: str) -> None:
    lines = exported()
    known = keys.public_keys()
    assert read(lines, pinned=known).events == 10
    change(lines)
    with pytest.raises(Damage) as found:
        read(lines, pinned=known)
    assert (found.value.place, found.value.kind) == (place, kind), str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"kind":"event","kind":"seal"}',
        "NaN",
        "[]",
        "",
        '{"kind":"event"}',
        '{"kind":"other"}',
        "{",
        "\ud83d",
        "null",
    ],
)
def test_a_line_that_is_none_is_found(text: str) -> None:
    lines = list(written(exported()))
    lines[4] = f"{text}\n"
    with pytest.raises(Damage) as found:
        verify(parse_lines(lines))
    assert (found.value.place, found.value.kind) == ("line 5", "malformed")


def test_a_log_that_was_cut_or_rewritten_with_the_key_is_found_by_a_checkpoint() -> None:
    noted = read(exported()).checkpoint
    assert noted.startswith("3:")
    for number in range(5):
        record("halt.pressed", actor="user:ana", object_id=str(number))
    assert seal_due() == 5
    assert read(exported(), checkpoint=noted).events == 15
    other = f"3:{'a' * 64}"
    with pytest.raises(Damage) as found:
        read(exported(), checkpoint=other)
    assert (found.value.place, found.value.kind) == ("seal 3", "rewritten")
    later = f"9:{'a' * 64}"
    for check in (lambda: read(exported(), checkpoint=later), lambda: verify_stored(checkpoint=later)):
        with pytest.raises(Damage) as found:
            check()
        assert (found.value.place, found.value.kind) == ("seal 5", "truncated")
    with pytest.raises(ValueError, match="no checkpoint"):
        read(exported(), checkpoint="nonsense")


def test_an_export_may_begin_at_a_later_seal() -> None:
    lines = list(log_lines(first=2))
    report = read(lines)
    assert (report.events, report.seals, report.checkpoint) == (6, 2, read(exported()).checkpoint)
    lines[0]["previous"] = "0" * 64
    with pytest.raises(Damage, match="seal 2: it doesn't follow"):
        read(lines)


EXCERPTS = [
    pytest.param(edit(2, actor="user:eve"), "event 4", "event_changed", id="edited"),
    pytest.param(edit(2, place=0), "event 4", "event_changed", id="place"),
    pytest.param(edit(2, place=9), "event 4", "event_changed", id="no-such-place"),
    pytest.param(edit(2, path=[]), "event 4", "event_changed", id="path"),
    pytest.param(edit(2, seal=3), "event 4", "seal_missing", id="another-seal"),
    pytest.param(drop(2), "event 4", "event_missing", id="deleted"),
    pytest.param(insert(2), "event 2", "event_moved", id="duplicated"),
    pytest.param(swap(1, 2), "event 2", "event_moved", id="swapped"),
    pytest.param(drop(1, "seal"), "event 2", "seal_missing", id="seal-deleted"),
    pytest.param(edit(1, "seal", count=9), "seal 1", "seal_changed", id="seal-edited"),
    pytest.param(edit(1, "seal", signature="00"), "seal 1", "signature", id="signature"),
    pytest.param(lambda lines: lines[0].update(filter={}), "line 1", "header", id="header"),
    pytest.param(without_last_line, "line 7", "truncated", id="cut"),
]


@pytest.mark.parametrize(("change", "place", "kind"), EXCERPTS)
def test_what_was_done_to_an_excerpt_is_found(change: Change, place: str, kind: str) -> None:
    anas = Event.objects.filter(actor="user:ana", pk__lte=6).order_by("pk")
    lines = list(excerpt_lines(anas, filter={"who": "ana"}))
    assert (read(lines).events, read(lines).seals) == (3, 2)
    change(lines)
    with pytest.raises(Damage) as found:
        read(lines)
    assert (found.value.place, found.value.kind) == (place, kind), str(found.value)


STORED = [
    pytest.param("UPDATE traces_event SET name = 'approval.denied' WHERE id = 3", "event 3", "event_changed", id="name"),
    pytest.param("UPDATE traces_event SET actor = 'user:eve' WHERE id = 3", "event 3", "event_changed", id="actor"),
    pytest.param("UPDATE traces_event SET at = at + interval '1 microsecond' WHERE id = 3", "event 3", "event_changed", id="time"),
    pytest.param("UPDATE traces_event SET object_id = '' WHERE id = 3", "event 3", "event_changed", id="object"),
    pytest.param("UPDATE traces_event SET run_id = NULL WHERE id = 3", "event 3", "event_changed", id="run"),
    pytest.param("UPDATE traces_event SET data = data || '{\"amount\": 7}' WHERE id = 3", "event 3", "event_changed", id="data"),
    pytest.param("DELETE FROM traces_event WHERE id = 1", "at the beginning of seal 1", "event_missing", id="first-deleted"),
    pytest.param("DELETE FROM traces_event WHERE id = 6", "after event 5", "event_missing", id="middle-deleted"),
    pytest.param("DELETE FROM traces_event WHERE id = 10", "after event 9", "event_missing", id="last-deleted"),
    pytest.param("DELETE FROM traces_event WHERE id > 4 AND id < 9", "at the beginning of seal 2", "event_missing", id="batch-deleted"),
    pytest.param("TRUNCATE traces_event", "at the beginning of seal 1", "event_missing", id="truncated"),
    pytest.param("UPDATE traces_event SET id = 300 - id WHERE id IN (2, 3)", "after event 1", "event_missing", id="moved-to-the-end"),
    pytest.param("UPDATE traces_event a SET actor = b.actor, data = b.data FROM traces_event b WHERE a.id + b.id = 5 AND a.id IN (2, 3)", "event 2", "event_changed", id="swapped"),
    pytest.param("INSERT INTO traces_event (id, name, at, actor, object_id, data) VALUES (0, 'a.b', now(), 'system', '', '{}')", "event 0", "event_added", id="before-the-first"),
    pytest.param("DELETE FROM traces_seal WHERE number = 2", "seal 2", "seal_missing", id="seal-deleted"),
    pytest.param("DELETE FROM traces_seal WHERE number = 1", "seal 1", "seal_missing", id="first-seal-deleted"),
    pytest.param("UPDATE traces_seal SET number = 7 WHERE number = 2", "seal 2", "seal_missing", id="seal-moved"),
    pytest.param("UPDATE traces_seal SET count = 5 WHERE number = 2", "seal 2", "count", id="count"),
    pytest.param("UPDATE traces_seal SET previous = repeat('f', 64) WHERE number = 2", "seal 2", "previous", id="previous"),
    pytest.param("UPDATE traces_seal SET sealed_at = now() WHERE number = 2", "seal 2", "seal_changed", id="sealed-at"),
    pytest.param("UPDATE traces_seal SET signature = repeat('0', 128) WHERE number = 2", "seal 2", "signature", id="signature"),
    pytest.param("UPDATE traces_seal SET leaves = leaves || leaves, count = 8 WHERE number = 2", "seal 2", "seal_changed", id="leaves"),
    pytest.param("UPDATE traces_seal SET last_event = 7 WHERE number = 2", "seal 2", "seal_changed", id="range"),
    pytest.param("UPDATE traces_auditkey SET public = repeat('a', 64)", "seal 1", "key", id="key-replaced"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "place", "kind"), STORED)
def test_what_a_superuser_did_to_the_stored_log_is_found(sql: str, place: str, kind: str) -> None:
    assert verify_stored().events == 10
    with connection.cursor() as cursor:
        for table in ("traces_event", "traces_seal"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(sql)
    with pytest.raises(Damage) as found:
        verify_stored()
    assert (found.value.place, found.value.kind) == (place, kind), str(found.value)


def test_a_key_that_somebody_put_there_is_not_trusted() -> None:
    forger = Signer(Ed25519PrivateKey.generate())
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE traces_seal DISABLE TRIGGER USER")
        cursor.execute(
            "INSERT INTO traces_auditkey (public, sealed, created_at) VALUES (%s, 'x', now())",
            [forger.public],
        )
    seal = Seal.objects.get(number=3)
    line = sealer.seal_line(seal) | {"key": forger.public}
    forged = seal_digest(line)
    Seal.objects.filter(number=3).update(
        key=forger.public, digest=forged, signature=forger.sign(forged, what="seal")
    )
    with pytest.raises(Damage, match="seal 3: it is signed with a key that is not trusted"):
        verify_stored()


def test_the_same_with_a_new_key_goes_on() -> None:
    made = keys.replace()
    record("halt.pressed", actor="user:ana")
    seal_due()
    report = verify_stored()
    assert (report.seals, report.keys[1]) == (4, made.public)
    assert read(exported()).keys == report.keys
    with pytest.raises(Damage, match="seal 4: it is signed with a key that is not trusted"):
        read(exported(), pinned=report.keys[:1])


def test_an_export_is_what_was_stored() -> None:
    lines = exported()
    again = copy.deepcopy([json.loads(text) for text in written(lines)])
    assert again == lines
