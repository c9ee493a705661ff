"""What is hashed and signed: the one canonical form of events, seals and what else stands in an export."""

import hashlib
import json
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = "gatehouse audit 1"
NO_SEAL = "0" * 64  # what the first seal follows
EXACT = 2**53 - 1  # beyond it JSON numbers have no one form
DEEPEST = 50  # levels of an event's data; what lies deeper goes in as text

Line = dict[str, Any]
_USUAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def canonical(value: Any) -> bytes:
    """`value` (JSON) as RFC 8785 canonical JSON; what that has no form for, as strings that have one.

    Nothing that is in an event can so keep it from being sealed.
    """
    try:
        if _is_usual(value, DEEPEST):
            # The same bytes, in a tenth of the time.
            return _USUAL.encode(value).encode()
        return rfc8785.dumps(_plain(value, DEEPEST))
    except UnicodeEncodeError:  # half a surrogate pair, which only a file that somebody made can hold
        return json.dumps(value, sort_keys=True).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


EVENT = ("id", "name", "at", "actor", "object_id", "run_id", "data")
SEAL = ("number", "first_event", "last_event", "count", "previous", "root", "key", "sealed_at")


def event_digest(event: Line) -> bytes:
    """SHA-256 of one event: a leaf of its seal's tree."""
    return hashlib.sha256(b"\x00" + canonical({name: event[name] for name in EVENT})).digest()


def seal_digest(seal: Line) -> str:
    """SHA-256 of a seal, in hex: what the next one names as its previous, and what is signed."""
    return digest({name: seal[name] for name in SEAL})


def signed_bytes(digest: str, *, what: str) -> bytes:
    """What a signature is made over: no signature of a seal can be passed off as one of something else."""
    return f"{FORMAT} {what} {digest}".encode()


def is_signed(signature: str, digest: str, *, what: str, key: str) -> bool:
    """Whether `signature` (hex) was made by the private part of `key` (hex) over exactly this."""
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(signature), signed_bytes(digest, what=what))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_usual(value: Any, levels: int) -> bool:
    """Whether Python's own JSON writes it canonically: no floats or great numbers, all keys ASCII, not deep."""
    match value:
        case str() | bool() | None:
            return True
        case int():
            return abs(value) <= EXACT
        case dict() if levels:
            return all(
                isinstance(key, str) and key.isascii() and _is_usual(item, levels - 1)
                for key, item in value.items()
            )
        case list() if levels:
            return all(_is_usual(item, levels - 1) for item in value)
    return False


def _plain(value: Any, levels: int) -> Any:
    match value:
        case dict() if levels:
            return {str(key): _plain(item, levels - 1) for key, item in value.items()}
        case list() if levels:
            return [_plain(item, levels - 1) for item in value]
        case dict() | list():
            return json.dumps(value, sort_keys=True)
        case int() if abs(value) > EXACT:
            return f"int {value}"
        case float() if value in (float("inf"), float("-inf")):
            return f"float {value}"
    return value
