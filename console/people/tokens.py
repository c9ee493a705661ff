"""Tokens by which programs come in."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from approvals.access import ROLES, SERVICE, Actor, roles_of
from console.models import ApiToken
from traces.recorder import record

SCOPES = ("decide",)
SHOWN = 10  # characters of a token that lists show
USED_EVERY = timedelta(minutes=1)


class BadToken(Exception):
    """No such token can be made, or there is none."""


def make_token(*, user: User, role: str, scopes: Iterable[str] = (), now: datetime) -> str:
    """Make a token for a user and return it; it can't be shown again. Raises BadToken."""
    scopes = sorted(set(scopes))
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise BadToken(f"There is no scope {', '.join(unknown)!r}: choose {', '.join(SCOPES)}.")
    if role not in ROLES:
        raise BadToken(f"There is no role {role!r}: choose {', '.join(ROLES)}.")
    if role not in roles_of(user):
        raise BadToken(f"{user.get_username()} does not have the role {role}: give it to them first.")
    if role == SERVICE and "decide" in scopes:
        raise BadToken("A service can ask, never decide: leave the scope out, or choose a person's role.")
    token = "gth_" + secrets.token_urlsafe(32)
    with transaction.atomic():
        row = ApiToken.objects.create(
            user=user, role=role, scopes=scopes, prefix=token[:SHOWN], digest=_digest(token), created_at=now
        )
        record(
            "token.created",
            actor="system",
            object_id=str(row.pk),
            data={"user": user.get_username(), "role": role, "scopes": scopes, "prefix": row.prefix},
        )
    return token


def actor_by_token(token: str, *, now: datetime) -> Actor | None:
    """Who comes with this token; None where it is unknown, revoked, or its user is gone.

    Looked up by its hash, so that nothing about other tokens shows in the time it takes.
    """
    row = (
        ApiToken.objects.select_related("user")
        .filter(digest=_digest(token), revoked_at=None, user__is_active=True)
        .first()
    )
    if row is None:
        return None
    if row.last_used_at is None or row.last_used_at <= now - USED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USED_EVERY)
        ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    return Actor(row.user, via="token", scopes=frozenset(row.scopes), role=row.role)


def revoke_tokens(tokens: Iterable[ApiToken], *, by: str, now: datetime) -> int:
    """Let these tokens in no more, from now on; how many were still good."""
    count = 0
    with transaction.atomic():
        for row in tokens:
            if ApiToken.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=now):
                record("token.revoked", actor=by, object_id=str(row.pk), data={"prefix": row.prefix})
                count += 1
    return count


def revoke_by_prefix(prefix: str, *, by: str, now: datetime) -> ApiToken:
    """Revoke the one token that begins so. Raises BadToken where there is none, or more than one."""
    if not prefix:
        raise BadToken("Say how the token begins; `token list` shows it.")
    found = list(ApiToken.objects.filter(prefix__startswith=prefix[:SHOWN], revoked_at=None)[:2])
    if len(found) != 1:
        how_many = "More than one token begins" if found else "No token that is still good begins"
        raise BadToken(f"{how_many} with {prefix[:SHOWN]!r}; `token list` shows them.")
    revoke_tokens(found, by=by, now=now)
    return found[0]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
