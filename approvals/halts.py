"""The emergency stop: while one stands, nothing is claimed."""

from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from approvals.access import ADMIN, OPERATOR, Actor
from approvals.exceptions import Halted, Missing, NotAllowed
from approvals.grants import revoke_for_halt
from approvals.models import Halt
from traces.recorder import record

HALT_LOCK = 0x68616C74  # of Postgres' advisory locks
# Whether one stands over the agent that is the parameter, or over a tool of it; for statements that ask it beside what
# they write.
STANDING = "EXISTS (SELECT 1 FROM approvals_halt WHERE lifted_at IS NULL AND agent IN ('', %s))"
# Whether none holds back a call; for a statement that claims, as `require_running` in a transaction: see migration 0002.
NOT_HALTED = "NOT approvals_halted(%s, %s)"  # agent, tool


def halt(*, actor: Actor, now: datetime, agent: str = "", tool: str = "", reason: str = "") -> Halt:
    """Stop an agent, or all; with `tool`, only its calls. Nothing of it is claimed from now until it is lifted.

    Any operator may; pressing twice is one halt. Grants that it stops end with it.
    """
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Halting needs the role operator or admin.")
    with transaction.atomic():
        _lock_halts(shared=False)
        standing = Halt.objects.filter(agent=agent, tool=tool, lifted_at=None).first()
        if standing is not None:
            return standing
        row = Halt.objects.create(agent=agent, tool=tool, reason=reason, halted_by=actor.user, halted_at=now)
        revoke_for_halt(agent, tool, actor=actor, now=now)
        _record_pressed(row, str(actor))
    return row


def halt_by_itself(*, agent: str, reason: str, now: datetime) -> Halt:
    """Stop an agent, or another program, without a person; one that is stopped already stays so.

    Its grants stay: whoever lifts the stop finds them, and a halted agent uses none.
    """
    with transaction.atomic():
        _lock_halts(shared=False)
        standing = Halt.objects.filter(agent=agent, tool="", lifted_at=None).first()
        if standing is not None:
            return standing
        row = Halt.objects.create(agent=agent, reason=reason, halted_by=None, halted_at=now)
        _record_pressed(row, "system")
    return row


def lift_halt(*, actor: Actor, now: datetime, agent: str = "", tool: str = "") -> None:
    """Let what was stopped go on. Raises Missing where it is not halted, NotAllowed where somebody else must lift it."""
    if not actor.roles & {OPERATOR, ADMIN}:
        raise NotAllowed("Lifting a halt needs the role operator or admin.")
    with transaction.atomic():
        _lock_halts(shared=False)
        row = Halt.objects.filter(agent=agent, tool=tool, lifted_at=None).select_related("halted_by").first()
        if row is None:
            raise Missing(f"There is no halt of {Halt(agent=agent, tool=tool)} to lift.")
        if not may_lift(row, actor):
            raise NotAllowed("You pressed this stop: somebody else must lift it.")
        Halt.objects.filter(pk=row.pk).update(lifted_by=actor.user, lifted_at=now)
        record("halt.lifted", actor=str(actor), object_id=str(row.pk), data={"agent": agent, "tool": tool})


def may_lift(row: Halt, actor: Actor) -> bool:
    """Whether this person is not the one who pressed it, where that must be another."""
    needs_another = settings.FOUR_EYES and not settings.SINGLE_OPERATOR
    return not needs_another or row.halted_by_id != actor.user.pk


def _record_pressed(row: Halt, actor: str) -> None:
    data = {"agent": row.agent, "tool": row.tool, "reason": row.reason}
    record("halt.pressed", actor=actor, object_id=str(row.pk), data=data)


def require_running(agent: str, *, tool: str = "") -> None:
    """Raise Halted while an emergency stop stands over `agent`, or over `tool` of it; in a transaction, that holds
    until its commit.
    """
    if connection.in_atomic_block:
        _lock_halts(shared=True)
    standing = Halt.objects.filter(agent__in=["", agent], tool__in=["", tool], lifted_at=None)
    row = standing.select_related("halted_by").first()
    if row is not None:
        raise Halted(f"{row} halted by {row.by} at {row.halted_at:%Y-%m-%d %H:%M} UTC: {row.reason}")


def stopped_tools(*agents: str) -> frozenset[str]:
    """The tools of these agents that an emergency stop of their own holds."""
    rows = Halt.objects.filter(agent__in=["", *agents], lifted_at=None).exclude(tool="")
    return frozenset(rows.values_list("tool", flat=True))


def _lock_halts(*, shared: bool) -> None:
    """Until the commit: a halt waits for the claims that did not see it, and later ones wait for it."""
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [HALT_LOCK])
