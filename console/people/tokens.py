"""Tokens by which programs come in."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q

from agents.models import Agent
from approvals.access import ROLES, SERVICE, Actor, roles_of
from console.models import ApiToken
from traces.recorder import record
from traces.statement import columns_of, fetch

# What each lets a token do. A token with none of them, or `decide` alone, may do all that its role may.
SCOPES = {
    "read": "look at runs, approvals, traces, agents, memories and alerts",
    "run": "start runs and steer them",
    "ask": "request approvals, and hear of them",
    "decide": "decide approvals, for a person",
    "mcp": "use the MCP gateway",
    "traces": "send spans",
    "manage": "stop agents, lift breakers, publish agents, delete memories",
}
SHOWN = 10  # characters of a token that lists show
USED_EVERY = timedelta(minutes=1)
GOOD = """
SELECT {token}, {user} FROM console_apitoken JOIN auth_user ON auth_user.id = console_apitoken.user_id
WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AND is_active
"""


class BadToken(Exception):
    """No such token can be made, or there is none."""


def make_token(
    *,
    user: User,
    role: str,
    scopes: Iterable[str] = (),
    agent: str = "",
    lasts: timedelta | None = None,
    by: str = "system",
    now: datetime,
) -> str:
    """Make a token for a user and return it; it can't be shown again. Raises BadToken.

    `agent`: as which agent the calls of a service are judged. `lasts`: how long it is good; None: until it is revoked.
    `by`: who makes it, as the audit log names people.
    """
    scopes = sorted(set(scopes))
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise BadToken(f"There is no scope {', '.join(unknown)!r}: choose {', '.join(SCOPES)}.")
    if role not in ROLES:
        raise BadToken(f"There is no role {role!r}: choose {', '.join(ROLES)}.")
    if role not in roles_of(user):
        raise BadToken(f"{user.get_username()} does not have the role {role}: give it to them first.")
    if role == SERVICE and "decide" in scopes:
        raise BadToken("A service can ask, never decide: leave the scope out, or choose a person's role.")
    if agent:
        _require_agent(agent, role)
    token = "gth_" + secrets.token_urlsafe(32)
    with transaction.atomic():
        row = ApiToken.objects.create(
            user=user,
            role=role,
            scopes=scopes,
            agent=agent,
            prefix=token[:SHOWN],
            digest=_digest(token),
            created_at=now,
            expires_at=now + lasts if lasts else None,
        )
        record(
            "token.created",
            actor=by,
            object_id=str(row.pk),
            data={
                "user": user.get_username(),
                "role": role,
                "scopes": scopes,
                "agent": agent,
                "prefix": row.prefix,
            },
        )
    return token


def token_row(token: str, *, now: datetime) -> ApiToken | None:
    """The row of this token, whose use is noted; None where it is unknown, revoked, expired, or its user is gone.

    Looked up by its hash, so that nothing about other tokens shows in the time it takes.
    """
    names = [field.attname for field in User._meta.concrete_fields]
    good = GOOD.format(token=columns_of(ApiToken), user=columns_of(User))
    row = next(iter(fetch(ApiToken, good, _digest(token), now, also=[f"of_{name}" for name in names])), None)
    if row is None:
        return None
    row.user = User.from_db(DEFAULT_DB_ALIAS, names, [vars(row).pop(f"of_{name}") for name in names])
    if row.last_used_at is None or row.last_used_at <= now - USED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USED_EVERY)
        ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    return row


def bearer_row(authorization: str, *, now: datetime) -> ApiToken | None:
    """The row of the token in this header; None as with `token_row`."""
    scheme, _, token = authorization.partition(" ")
    return token_row(token.strip(), now=now) if scheme.lower() == "bearer" else None


def actor_of_token(row: ApiToken) -> Actor:
    """Who comes with it."""
    return Actor(row.user, via="token", scopes=frozenset(row.scopes), role=row.role)


def agent_of(row: ApiToken) -> str:
    """As which agent its calls are judged; empty: none."""
    return row.agent


def scopes_of(row: ApiToken) -> list[str]:
    """What it may do, as far as its role may."""
    if set(row.scopes) - {"decide"}:
        return [scope for scope in SCOPES if scope in row.scopes]
    return [scope for scope in SCOPES if scope != "decide" or scope in row.scopes]


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


def _require_agent(name: str, role: str) -> None:
    if role != SERVICE:
        raise BadToken("Only the token of a service stands for an agent: leave the agent out.")
    agents = Agent.objects.exclude(live_version=None).order_by("name")
    if not agents.filter(name=name).exists():
        known = ", ".join(agents.values_list("name", flat=True)) or "none"
        raise BadToken(f"There is no agent {name!r}. Agents: {known}.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
