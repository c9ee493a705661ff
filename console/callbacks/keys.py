"""The keys by which receivers know that a callback is ours: one per user, sealed, and replaced without a gap."""

import base64
import secrets
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from console.models import SigningKey
from traces import sealing
from traces.recorder import record

SIGNS_ALONG = timedelta(hours=24)  # of a key that was replaced
BYTES = 32


def current_secret(user: User, *, now: datetime) -> str:
    """The user's secret, `whsec_…`; made where there is none. Raises sealing.Unreadable."""
    key = SigningKey.objects.filter(user=user, ends_at=None).first()
    if key is None:
        # Of two that make one at once, one is kept; both read that.
        SigningKey.objects.bulk_create([_new(user, now)], ignore_conflicts=True)
        key = SigningKey.objects.get(user=user, ends_at=None)
    return sealing.unseal(bytes(key.sealed))


def rotate(user: User, *, by: str, now: datetime) -> str:
    """A new secret; the one before signs along for a day, so that receivers can change over."""
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # one rotation at a time
        SigningKey.objects.filter(user=user, ends_at=None).update(ends_at=now + SIGNS_ALONG)
        SigningKey.objects.filter(user=user, ends_at__lte=now).delete()
        _new(user, now).save()
        record("signing_key.rotated", actor=by, object_id=str(user.pk), data={"user": user.get_username()})
    return current_secret(user, now=now)


def signing_secrets(user: User, *, now: datetime) -> list[str]:
    """All that sign now, the current one first. Raises sealing.Unreadable where the current one can't be read."""
    told = [current_secret(user, now=now)]
    for key in SigningKey.objects.filter(Q(ends_at__gt=now), user=user):
        try:
            told.append(sealing.unseal(bytes(key.sealed)))
        except sealing.Unreadable:
            continue
    return told


def reseal() -> tuple[int, list[str]]:
    """Seal all keys with the newest key: how many were, and whose nobody can read."""
    count, unreadable = 0, []
    for key in SigningKey.objects.select_related("user"):
        try:
            SigningKey.objects.filter(pk=key.pk).update(sealed=sealing.reseal(bytes(key.sealed)))
        except sealing.Unreadable:
            unreadable.append(key.user.get_username())
        else:
            count += 1
    return count, unreadable


def _new(user: User, now: datetime) -> SigningKey:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(BYTES)).decode()
    return SigningKey(user=user, sealed=sealing.seal(secret), created_at=now)
