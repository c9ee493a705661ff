"""Secrets at rest: encrypted with keys that are made of SECRET_KEY, and readable with older ones."""

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """It was sealed with a key that is not known any more."""


def seal(secret: str) -> bytes:
    """`secret` encrypted with the newest key."""
    return _keys().encrypt(secret.encode())


def unseal(sealed: bytes) -> str:
    """What was sealed. Raises Unreadable."""
    try:
        return _keys().decrypt(bytes(sealed)).decode()
    except InvalidToken as error:
        raise Unreadable(
            "It was stored under another SECRET_KEY: set it anew, or name the old key in SECRET_KEY_FALLBACKS."
        ) from error


def reseal(sealed: bytes) -> bytes:
    """The same secret under the newest key. Raises Unreadable."""
    return seal(unseal(sealed))


def is_readable(sealed: bytes) -> bool:
    """Whether some known key can read it."""
    try:
        unseal(sealed)
    except Unreadable:
        return False
    return True


def is_current(sealed: bytes) -> bool:
    """Whether the newest key alone can read it, so that older ones may be dropped."""
    try:
        _made_of((settings.SECRET_KEY,)).decrypt(bytes(sealed))
    except InvalidToken:
        return False
    return True


def _keys() -> MultiFernet:
    return _made_of((settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))


@cache
def _made_of(secrets: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(base64.urlsafe_b64encode(_derive(secret))) for secret in secrets])


def _derive(secret: str) -> bytes:
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"gatehouse sealed values")
    return kdf.derive(secret.encode())
