"""Verifying an audit log or an export of it: is every event there, in its place, as it was sealed, and signed?

Pure: it needs neither database nor settings. The first damage is raised with its place and kind.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from traces.audit.forms import (
    EVENT,
    FORMAT,
    NO_SEAL,
    SEAL,
    Line,
    digest,
    event_digest,
    is_signed,
    seal_digest,
)
from traces.audit.tree import root_by, root_of

HASH = 32  # bytes


class Damage(Exception):
    """Something is not as it was sealed. `place` names the event, seal or line; `kind` is one word."""

    def __init__(self, kind: str, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}")
        self.kind, self.place = kind, place


@dataclass(slots=True)
class Report:
    """What was found whole."""

    what: str
    events: int = 0
    seals: int = 0
    checkpoint: str = ""  # of the last seal
    keys: list[str] = field(default_factory=list)  # by which it is signed
    claims: dict[str, str] = field(default_factory=dict)  # of a receipt


@dataclass(slots=True)
class Log:
    """Checks seals in their order, each with its events; `keys` are those that may have signed."""

    keys: Collection[str]
    number: int = 0  # of the last seal
    previous: str = NO_SEAL
    last_event: int = 0
    checkpoint: str = ""  # that an auditor noted earlier
    report: Report = field(default_factory=lambda: Report("log"))

    def seal(self, seal: Line, leaves: bytes, events: list[Line]) -> None:
        """Check the next seal. Raises Damage."""
        place = f"seal {seal['number']}"
        self._check_order(seal, place)
        if seal["previous"] != self.previous:
            raise Damage("previous", place, "it doesn't follow the seal before: it names another hash.")
        if not seal["count"] == len(leaves) // HASH or len(leaves) % HASH:
            raise Damage(
                "count", place, f"it says {seal['count']} events and has {len(leaves) / HASH:g} hashes."
            )
        check_seal(seal, self.keys)
        parts = [leaves[start : start + HASH] for start in range(0, len(leaves), HASH)]
        if not parts or root_of(parts).hex() != seal["root"]:
            raise Damage("leaves", place, "the hashes of its events were changed: they don't make its root.")
        self._check_events(events, parts, place)
        if (events[0]["id"], events[-1]["id"]) != (seal["first_event"], seal["last_event"]):
            raise Damage("range", place, "its first or last event is another than it says.")
        self.number, self.previous, self.last_event = seal["number"], seal["digest"], seal["last_event"]
        self._check_noted(seal)
        report = self.report
        report.events, report.seals = report.events + len(events), report.seals + 1
        report.checkpoint = f"{seal['number']}:{seal['digest']}"
        if seal["key"] not in report.keys:
            report.keys.append(seal["key"])

    def end(self) -> None:
        """Check that nothing is cut off that an auditor had seen. Raises Damage."""
        if self.checkpoint and self.number < (noted := _parse_checkpoint(self.checkpoint)[0]):
            raise Damage(
                "truncated", f"seal {self.number}", f"the log ends here, yet seal {noted} was there before."
            )

    def _check_order(self, seal: Line, place: str) -> None:
        expected = self.number + 1
        if seal["number"] == expected:
            return
        if seal["number"] > expected:
            raise Damage(
                "seal_missing", f"seal {expected}", f"it is missing: seal {seal['number']} comes next."
            )
        raise Damage("seal_moved", place, f"it stands where seal {expected} belongs.")

    def _check_noted(self, seal: Line) -> None:
        if not self.checkpoint:
            return
        number, noted = _parse_checkpoint(self.checkpoint)
        if seal["number"] == number and seal["digest"] != noted:
            raise Damage("rewritten", f"seal {number}", "it has another hash than was noted before.")

    def _check_events(self, events: list[Line], leaves: list[bytes], place: str) -> None:
        hashes = [event_digest(event) for event in events]
        if hashes != leaves:
            raise _first_difference(events, hashes, leaves, place)
        before = self.last_event
        for event in events:
            if event["id"] <= before:
                raise Damage("event_moved", f"event {event['id']}", f"it comes after event {before}.")
            before = event["id"]


def check_seal(seal: Line, keys: Collection[str]) -> None:
    """Check one seal by itself: its hash, its key and its signature. Raises Damage."""
    place = f"seal {seal['number']}"
    if seal_digest(seal) != seal["digest"]:
        raise Damage("seal_changed", place, "it was changed: its content has another hash than it says.")
    if seal["key"] not in keys:
        raise Damage("key", place, f"it is signed with a key that is not trusted: {seal['key']}.")
    if not is_signed(seal["signature"], seal["digest"], what="seal", key=seal["key"]):
        raise Damage("signature", place, "its signature is not by its key: it was made without the key.")


def _first_difference(events: list[Line], hashes: list[bytes], leaves: list[bytes], place: str) -> Damage:
    """What was done at the first place where events and the hashes that were sealed part."""
    at = next(
        (number for number, pair in enumerate(zip(hashes, leaves, strict=False)) if pair[0] != pair[1]),
        min(len(hashes), len(leaves)),
    )
    before = f"after event {events[at - 1]['id']}" if at else f"at the beginning of {place}"
    if at == len(hashes):
        return Damage("event_missing", before, f"{len(leaves) - at} events of {place} are missing.")
    here = f"event {events[at]['id']}"
    if hashes[at] in leaves[:at]:
        return Damage("event_repeated", here, "it stands here twice.")
    if hashes[at] in leaves[at:]:
        if leaves[at] in hashes[at:]:
            return Damage("event_moved", here, "it stands in another place than it was sealed in.")
        return Damage("event_missing", before, f"an event of {place} is missing, before {here}.")
    if at == len(leaves) or leaves[at] in hashes[at:]:
        return Damage("event_added", here, f"it was added: {place} does not cover it.")
    return Damage("event_changed", here, "it was changed: its content has another hash than was sealed.")


def verify(lines: Iterable[Line], *, pinned: Collection[str] = (), checkpoint: str = "") -> Report:
    """Check an export, line by line. `pinned` are the public keys that the auditor knows; else its header's count.

    `checkpoint` is what an earlier verification told. Raises Damage; ValueError where `checkpoint` is none.
    """
    if checkpoint:
        _parse_checkpoint(checkpoint)
    rest = iter(lines)
    header = next(rest, None)
    if header is None:
        raise Damage("truncated", "line 1", "the file is empty.")
    if header.get("kind") != "header" or header.get("format") != FORMAT:
        raise Damage("header", "line 1", f"this is no header of a {FORMAT!r} file.")
    if not isinstance(header.get("keys"), list):
        raise Damage("header", "line 1", "it names no keys.")
    keys = pinned or header["keys"]
    match header.get("what"):
        case "log":
            return _verify_log(header, rest, keys, checkpoint)
        case "excerpt":
            return _verify_excerpt(header, rest, keys)
    raise Damage(
        "header", "line 1", f"it says that this is a {header.get('what')!r}: there is no such thing."
    )


def _verify_log(header: Line, rest: Iterator[Line], keys: Collection[str], checkpoint: str) -> Report:
    first = _whole(header, "first_seal", "line 1")
    log = Log(keys, number=first - 1, previous=str(header.get("previous")), checkpoint=checkpoint)
    events: list[Line] = []
    for number, line in enumerate(rest, 2):
        match line.get("kind"):
            case "event":
                events.append(_checked(line, EVENT, number, whole=("id",)))
            case "seal":
                seal = _checked(
                    line, (*SEAL, "digest", "signature", "leaves"), number, whole=("number", "count")
                )
                log.seal(seal, _bytes(seal["leaves"], number), events)
                events = []
            case "closing":
                if events:
                    raise Damage("event_added", f"event {events[0]['id']}", "no seal covers it.")
                _check_closing(header, line, keys, number, {"seals": log.report.seals, "head": log.previous})
                _check_end(rest, number)
                log.end()
                return log.report
            case other:
                raise Damage("malformed", f"line {number}", f"there is no line of the kind {other!r}.")
    raise Damage("truncated", f"after seal {log.number}", "the file ends without its closing line.")


def _verify_excerpt(header: Line, rest: Iterator[Line], keys: Collection[str]) -> Report:
    report = Report("receipt" if "claims" in header else "excerpt")
    seals: dict[int, Line] = {}
    events: dict[int, Line] = {}
    for number, line in enumerate(rest, 2):
        match line.get("kind"):
            case "seal":
                seal = _checked(line, (*SEAL, "digest", "signature"), number, whole=("number", "count"))
                check_seal(seal, keys)
                seals[seal["number"]] = seal
                report.checkpoint = f"{seal['number']}:{seal['digest']}"
                if seal["key"] not in report.keys:
                    report.keys.append(seal["key"])
            case "event":
                event = _checked(
                    line, (*EVENT, "seal", "place", "path"), number, whole=("id", "seal", "place")
                )
                _check_proof(event, seals, number)
                if events and event["id"] <= (before := next(reversed(events))):
                    raise Damage("event_moved", f"event {event['id']}", f"it comes after event {before}.")
                events[event["id"]] = event
            case "closing":
                _check_all_there(line, list(events), number)
                _check_closing(header, line, keys, number, {"seals": list(seals), "events": list(events)})
                _check_end(rest, number)
                report.events, report.seals = len(events), len(seals)
                report.claims = _claims(header, events)
                return report
            case other:
                raise Damage("malformed", f"line {number}", f"there is no line of the kind {other!r}.")
    raise Damage(
        "truncated", f"line {2 + len(events) + len(seals)}", "the file ends without its closing line."
    )


def _check_proof(event: Line, seals: dict[int, Line], number: int) -> None:
    place = f"event {event['id']}"
    seal = seals.get(event["seal"])
    if seal is None:
        raise Damage("seal_missing", place, f"seal {event['seal']}, which covers it, is not here.")
    if not isinstance(event["path"], list):
        raise Damage("malformed", f"line {number}", "path is no list.")
    path = [_bytes(part, number) for part in event["path"]]
    if not 0 <= event["place"] < seal["count"]:
        raise Damage("event_changed", place, f"seal {seal['number']} has no place {event['place']}.")
    root = root_by(event_digest(event), place=event["place"], count=seal["count"], path=path)
    if root is None or root.hex() != seal["root"]:
        raise Damage(
            "event_changed", place, f"it or its proof was changed: seal {seal['number']} does not cover it."
        )


def _check_all_there(closing: Line, found: list[int], number: int) -> None:
    named = closing.get("events")
    if not isinstance(named, list):
        raise Damage("closing", f"line {number}", "the closing line does not say which events there are.")
    for missing in [pk for pk in named if pk not in set(found)]:
        raise Damage("event_missing", f"event {missing}", "it is missing.")
    for added in [pk for pk in found if pk not in set(named)]:
        raise Damage("event_added", f"event {added}", "it was added.")


def _check_closing(header: Line, closing: Line, keys: Collection[str], number: int, found: Line) -> None:
    place = f"line {number}"
    told = {name: closing.get(name) for name in found}
    if told != found:
        raise Damage("truncated", place, f"the closing line tells of {told}; here are {found}.")
    if closing.get("header") != digest(header):
        raise Damage("header", "line 1", "the header was changed.")
    if closing.get("key") not in keys:
        raise Damage(
            "key", place, f"the closing line is signed with a key that is not trusted: {closing.get('key')}."
        )
    said = {name: value for name, value in closing.items() if name != "signature"}
    if not is_signed(str(closing.get("signature")), digest(said), what="export", key=closing["key"]):
        raise Damage("closing", place, "the closing line's signature is not by its key.")


def _check_end(rest: Iterator[Line], number: int) -> None:
    if next(rest, None) is not None:
        raise Damage("appended", f"line {number + 1}", "something was added after the closing line.")


def _claims(header: Line, events: dict[int, Line]) -> dict[str, str]:
    """What a receipt says, each checked in the event that it names."""
    told = {}
    for claim in header.get("claims", ()):
        event = events.get(claim["event"])
        if event is None or event["data"].get(claim["field"]) != claim["value"]:
            raise Damage(
                "claim",
                f"event {claim['event']}",
                f"it does not bear out what the receipt says was {claim['what']}.",
            )
        told[claim["what"]] = claim["value"]
    return told


def parse_lines(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of an export; of a receipt, whose lines are one document, likewise. Raises Damage."""
    rest = iter(lines)
    first = next(rest, "")
    if first.strip() in ("{", ""):
        document = _parsed("".join([first, *rest]), 1) if first.strip() else {}
        yield from document.get("lines", [])
        return
    yield _parsed(first, 1)
    for number, text in enumerate(rest, 2):
        yield _parsed(text, number)


def _parsed(text: str, number: int) -> Line:
    try:
        line = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Damage("malformed", f"line {number}", f"it can't be read as JSON: {error}.") from error
    if not isinstance(line, dict):
        raise Damage("malformed", f"line {number}", "it is no JSON object.")
    return line


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands there twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _checked(line: Line, fields: tuple[str, ...], number: int, *, whole: tuple[str, ...]) -> Line:
    """The line without its kind, if it has exactly these fields. Raises Damage."""
    content = {name: value for name, value in line.items() if name != "kind"}
    if odd := set(content) ^ set(fields):
        raise Damage("malformed", f"line {number}", f"it lacks, or has besides: {', '.join(sorted(odd))}.")
    for name in whole:
        _whole(content, name, f"line {number}")
    return content


def _whole(line: Line, name: str, place: str) -> int:
    value = line.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Damage("malformed", place, f"{name} is no whole number: {value!r}.")
    return value


def _bytes(text: Any, number: int) -> bytes:
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError) as error:
        raise Damage("malformed", f"line {number}", "a hash is not written in hex.") from error


def _parse_checkpoint(text: str) -> tuple[int, str]:
    number, _, noted = text.partition(":")
    if not number.isdecimal() or len(noted) != len(NO_SEAL):
        raise ValueError(f"{text!r} is no checkpoint: it looks like 128:9f2c… with 64 hex digits.")
    return int(number), noted
