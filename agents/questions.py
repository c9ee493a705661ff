"""How many questions an agent, or another program, may put to people within an hour. Who asks more is halted.

Counted in Valkey, where it costs no statement; while that is away nobody is counted. The halt is a row like any other:
all pages show it, a person lifts it, and then the count begins anew.
"""

from datetime import datetime

import structlog
from django.conf import settings

from agents.tools.limiting import take
from agents.valkey import Away, valkey
from approvals.access import Actor
from approvals.exceptions import Flooded
from approvals.halts import halt_by_itself
from approvals.models import PROGRAM, Halt
from traces.models import Event

log = structlog.get_logger(__name__)

HOUR = 3600  # s


def halt_if_flooding(who: str, limit: int, *, now: datetime) -> str:
    """Count a question of an agent or program. Above `limit` (0: any number) it is halted: why, in words; else empty."""
    if not limit or not take(_key(who), limit, HOUR):
        return ""
    row = halt_by_itself(agent=who, reason=f"It asked people more than {limit} times within an hour", now=now)
    return f"Halted, {row.what}: {row.reason}. Nobody was asked, and nobody is until a person lifts it."


def require_budget(actor: Actor, *, now: datetime) -> None:
    """Count a question of another program, whoever holds its tokens. Raises Flooded above its budget and while it is halted.

    Not in a transaction: what is raised would take the halt back.
    """
    limit: int = settings.QUESTIONS_PER_HOUR
    if not limit:
        return
    program = f"{PROGRAM}{actor.user.get_username()}"[:64]
    standing = Halt.objects.filter(agent=program, tool="", lifted_at=None).first()
    if standing is not None:
        raise Flooded(f"Halted, {standing.what}: {standing.reason}. Nobody is asked until a person lifts it.")
    if why := halt_if_flooding(program, limit, now=now):
        raise Flooded(why)


def forget(event: Event) -> None:
    """Begin to count anew once the halt is lifted."""
    try:
        valkey().delete(_key(event.data.get("agent", "")))
    except Away as error:
        log.warning("questions.not_forgotten", agent=event.data.get("agent"), error=str(error))


def _key(who: str) -> str:
    return f"gatehouse:questions:{who}"
