"""Who works on a run: one worker at a time, by a lease that it must renew, and a fence that tells stale ones apart."""

import os
import socket
import threading
import uuid
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error, connection
from django.utils import timezone

from agents import brakes
from agents.models import Run
from agents.runtime import presence
from agents.runtime.versions import version_of
from agents.states import CLAIMABLE_RUN, RunStatus
from agents.tools.mcp.stopping import stop_reads
from traces.statement import columns_of, fetch

log = structlog.get_logger(__name__)

# One statement, which also tells what others want of the run: see `Run.halted`.
CLAIM = """
UPDATE agents_run SET status = 'running', fence = fence + 1, attempts = attempts + 1, lease_owner = $3,
    lease_until = $4, wake_at = NULL, started_at = coalesce(started_at, $2)
FROM agents_agentversion version JOIN agents_agent agent ON agent.id = version.agent_id
WHERE agents_run.id = $1 AND version.id = agents_run.version_id AND agents_run.status = ANY ($5)
    AND (lease_until IS NULL OR lease_until < $2) AND (wake_at IS NULL OR wake_at <= $2)
RETURNING {columns}, agent.live_version_id,
    EXISTS (SELECT 1 FROM approvals_halt WHERE lifted_at IS NULL AND approvals_halt.agent IN ('', agent.name)),
    EXISTS (SELECT 1 FROM agents_message WHERE run_id = $1 AND taken_at IS NULL)
"""
CLAIMABLE = sorted(CLAIMABLE_RUN)

_held: dict[UUID, int] = {}  # what this process works on, with the fence; only that is renewed


@cache
def owner() -> str:
    """The name of this process among all that claim, new at each start."""
    return presence.name() or f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def lease_end(now: datetime) -> datetime:
    """Until when a lease holds that is taken or renewed now."""
    return now + timedelta(seconds=settings.LEASE_SECONDS)


def claim(run_id: UUID, *, now: datetime) -> Run | None:
    """Take the run, if it can go on and nobody holds it; None else. Each claim raises the fence."""
    _keep_renewing()
    with brakes.passage(run_id, now=now) as free:
        claimed = _claim(run_id, now) if free else []
    if not claimed:
        return None
    run = claimed[0]
    run.version = version_of(run.version_id)
    _held[run_id] = run.fence  # last: what is held is worked on, else its lease would be renewed for nobody
    return run


def _claim(run_id: UUID, now: datetime) -> list[Run]:
    sql = CLAIM.format(columns=columns_of(Run))
    params = (run_id, now, owner(), lease_end(now), CLAIMABLE)
    return fetch(Run, sql, *params, also=("live_version_id", "halted", "spoken_to"))


def hold(run: Run, *, now: datetime) -> None:
    """Make a run that is not stored yet this process's from its beginning: its first claim is the row itself."""
    _keep_renewing()
    run.status, run.started_at = RunStatus.RUNNING, now
    run.fence, run.attempts = 1, 1
    run.lease_owner, run.lease_until = owner(), lease_end(now)
    run.live_version_id = run.version_id
    _held[run.pk] = run.fence


def let_go(run: Run) -> None:
    """Stop renewing: this thread no longer works on the run, however that came; another may by now."""
    if _held.get(run.pk) == run.fence:
        del _held[run.pk]


def give_back(run: Run) -> None:
    """Let the lease end now, after something broke: what was committed stands, and another claim goes on from it."""
    Run.objects.filter(pk=run.pk, fence=run.fence, status=RunStatus.RUNNING).update(
        lease_until=timezone.now()
    )


@cache
def _keep_renewing() -> threading.Thread:
    """One thread per process renews all its leases; a process that dies stops renewing."""
    thread = threading.Thread(target=_renew_forever, name="leases", daemon=True)
    thread.start()
    return thread


def _renew_forever() -> None:
    pause = threading.Event()
    while not pause.wait(settings.LEASE_SECONDS / 3):
        try:
            _renew(timezone.now())
        except Error as error:  # the database may be restarting: try again at the next beat
            log.warning("lease.renewal_failed", error=str(error))
        finally:
            connection.close()


def _renew(now: datetime) -> None:
    # Only leases that still hold: an expired one may be another's at any moment.
    mine = Run.objects.filter(pk__in=list(_held), status=RunStatus.RUNNING, lease_owner=owner())
    if _held:
        mine.filter(lease_until__gt=now).update(lease_until=lease_end(now))
        for run_id in mine.filter(requested="cancel").values_list("pk", flat=True):
            stop_reads(str(run_id))
