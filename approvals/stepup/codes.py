"""Codes of authenticators (TOTP, RFC 6238) and recovery codes. Pure."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

import pyotp

STEP = 30  # s
DRIFT = 1  # steps that a phone's clock may be off, either way
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # of chance: 16 characters
FIRST_BLOCK, LONGEST_BLOCK = timedelta(minutes=5), timedelta(hours=24)
FAILURES = 5  # wrong codes in a row, after which none is taken for a while


def new_secret() -> str:
    """A secret as authenticators take it."""
    return pyotp.random_base32()


def enrolment_uri(secret: str, *, name: str, issuer: str) -> str:
    """What the QR code holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def step_of(secret: str, code: str, *, now: datetime) -> int | None:
    """The time step whose code this is; None where it is none that counts now. Takes the same time for any code."""
    totp, current, found = pyotp.TOTP(secret), int(now.timestamp()) // STEP, None
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def plain(code: str) -> str:
    """A code as it was typed, without what people put in to read it."""
    return "".join(code.split()).replace("-", "").upper()[:64]


def new_recovery_codes() -> list[str]:
    """Codes such as `ABCD-EFGH-IJKL-MNOP`."""
    drawn = [
        base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().rstrip("=")
        for _ in range(RECOVERY_CODES)
    ]
    return ["-".join(code[place : place + 4] for place in range(0, len(code), 4)) for code in drawn]


def digest_of_code(code: str) -> str:
    """What is kept of a recovery code. It is as long as a key, so a plain hash will do."""
    return hashlib.sha256(plain(code).encode()).hexdigest()


def matching(code: str, digests: Iterable[tuple[int, str]]) -> int | None:
    """The id of the recovery code that this is. Looks at all, whichever it is."""
    digest, found = digest_of_code(code), None
    for pk, kept in digests:
        if hmac.compare_digest(digest, kept):
            found = pk
    return found


def block_after(failures: int) -> timedelta | None:
    """For how long no code is taken after so many wrong ones in a row: longer each time; None: it goes on."""
    if failures % FAILURES:
        return None
    times: int = 2 ** min(failures // FAILURES - 1, 20)
    return min(FIRST_BLOCK * times, LONGEST_BLOCK)
