"""How many runs may begin within a minute: of an agent, for a user, in a session.

They are counted from the rows of the runs themselves, under a lock of the one who is counted, so that the limit is
exact however many ask at once, and holds as long as the database does. A counter in Valkey would be quicker, and
would let through all or nothing while Valkey is away.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import JSONField, Q, QuerySet, TextField, Value
from django.db.models.functions import MD5, Cast

from agents.exceptions import RateLimited
from agents.models import AgentVersion, Conversation, Run
from approvals.access import Actor

MINUTE = timedelta(minutes=1)
LOCKS = 0x72617465  # the class of these among Postgres' advisory locks


def require_agent_and_user(
    *, version: AgentVersion, subject: dict[str, Any], actor: Actor | None, now: datetime
) -> None:
    """Raise RateLimited where the agent, or the user, began as many runs within a minute as it may.

    The user is the subject; without one it is the person at the browser or the shell. A program that names no
    subject speaks for people whom nobody can tell apart: it is bound by the agent's limit alone.
    """
    rates, agent = version.parsed.rates, version.agent.name
    if rates.agent:
        lock(f"agent {agent}")
        _require(Run.objects.filter(version__agent=version.agent_id), rates.agent, f"Agent {agent}", now)
    if not rates.user:
        return
    if subject:
        lock(f"subject {json.dumps(subject, sort_keys=True)}")
        _require(_of_subject(subject), rates.user, "This user", now)
    elif actor is not None and actor.via != "token":
        name = actor.user.get_username()
        lock(f"account {name}")
        _require(Run.objects.filter(started_by=actor.user, subject={}), rates.user, f"User {name}", now)


def require_session(session: Conversation, newest: Sequence[datetime], *, limit: int, now: datetime) -> None:
    """Raise RateLimited where the locked session has as many messages within a minute as it may.

    `newest` says when each message of that minute came, the latest first.
    """
    if limit and len(newest) >= limit:
        _refuse(f"Conversation {session.key!r}", limit, newest[limit - 1], now)


def lock(name: str) -> None:
    """Until the commit, whoever else asks for this name waits."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCKS, number])


def _of_subject(subject: dict[str, Any]) -> QuerySet[Run]:
    """By the index `run_subject`."""
    same = MD5(Cast(Value(subject, JSONField()), TextField()))
    return Run.objects.alias(subject_md5=MD5(Cast("subject", TextField()))).filter(
        ~Q(subject={}), subject_md5=same
    )


def _require(runs: QuerySet[Run], limit: int, who: str, now: datetime) -> None:
    begun = runs.filter(parent=None, rehearsal=False, created_at__gt=now - MINUTE).order_by("-created_at")
    last_allowed = begun.values_list("created_at", flat=True)[limit - 1 : limit].first()
    if last_allowed is not None:
        _refuse(who, limit, last_allowed, now)


def _refuse(who: str, limit: int, since: datetime, now: datetime) -> None:
    seconds = max(1, math.ceil((since + MINUTE - now).total_seconds()))
    raise RateLimited(
        f"{who} began {limit} runs within a minute, which is the limit: try again in {seconds} s.",
        retry_after=seconds,
    )
