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
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from agents.models import Run
from agents.states import CLAIMABLE_RUN, RunStatus

log = structlog.get_logger(__name__)

_held: dict[UUID, int] = {}  # what this process works on, with the fence; only that is renewed


@cache
def owner() -> str:
    """The name of this process among all workers, new at each start."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def lease_end(now: datetime) -> datetime:
    """Until when a lease holds that is taken or renewed now."""
    return now + timedelta(seconds=settings.LEASE_SECONDS)


def claim(run_id: UUID, *, now: datetime) -> Run | None:
    """Take the run, if it can go on and nobody holds it; None else. Each claim raises the fence."""
    _keep_renewing()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    due = Q(wake_at=None) | Q(wake_at__lte=now)
    claimed = Run.objects.filter(free, due, pk=run_id, status__in=CLAIMABLE_RUN).update(
        status=RunStatus.RUNNING,
        fence=F("fence") + 1,
        attempts=F("attempts") + 1,
        lease_owner=owner(),
        lease_until=lease_end(now),
        wake_at=None,
        started_at=Coalesce("started_at", now),
    )
    if claimed != 1:
        return None
    run = Run.objects.select_related("version__agent").get(pk=run_id)
    _held[run_id] = run.fence  # last: what is held is worked on, else its lease would be renewed for nobody
    return run


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
        if not (held := list(_held)):
            continue
        try:
            now = timezone.now()
            # Only leases that still hold: an expired one may be another's at any moment.
            mine = Run.objects.filter(pk__in=held, status=RunStatus.RUNNING, lease_owner=owner())
            mine.filter(lease_until__gt=now).update(lease_until=lease_end(now))
        except Error as error:  # the database may be restarting: try again at the next beat
            log.warning("lease.renewal_failed", error=str(error))
        finally:
            connection.close()
