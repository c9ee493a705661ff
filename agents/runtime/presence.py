"""Which workers are there: each holds a lock of its database session, which ends with the process, however it ends.

So the runs of a worker that died go on at once, long before their leases run out. The lease stays the last word: a
worker that hangs keeps its lock, and loses its runs all the same.
"""

import os
import socket
import threading
import uuid
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

import structlog
from django.db import Error, connection
from django.utils import timezone

from agents.runtime.dispatch import wake

log = structlog.get_logger(__name__)

BEAT_SECONDS = 1.0  # between two looks
CLASS = 0x676174  # of the advisory locks
# After a restart of the server nobody holds a lock until all have come back.
ABSENT = """
SELECT DISTINCT lease_owner FROM agents_run
WHERE ended_at IS NULL AND status = 'running' AND lease_until > %s AND lease_owner LIKE 'worker:%%'
    AND now() - pg_postmaster_start_time() > interval '5 seconds' AND NOT EXISTS (
        SELECT 1 FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = %s
            AND objid = (hashtext(lease_owner)::bigint & 4294967295)::oid
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
FREE = """
UPDATE agents_run SET lease_until = %s
WHERE ended_at IS NULL AND status = 'running' AND lease_owner = ANY (%s) AND lease_until > %s RETURNING id
"""

_name = ""


def name() -> str:
    """Under which this process is there; empty unless it is a worker."""
    return _name


def enter() -> None:
    """Be there from now on, as a worker, and look after those that aren't any more."""
    global _name  # noqa: PLW0603 -- a process is one worker
    _name = f"worker:{socket.gethostname()[:40]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    there = threading.Event()
    threading.Thread(target=_watch_forever, args=(there,), name="presence", daemon=True).start()
    there.wait(BEAT_SECONDS)


def _watch_forever(there: threading.Event) -> None:
    held: object = None  # the connection that holds the lock
    absent: set[str] = set()
    while True:
        try:
            connection.ensure_connection()
            if connection.connection is not held:
                _lock()
                held = connection.connection
            there.set()
            now = timezone.now()
            # Twice in a row, so that one whose connection broke off has the time to come back.
            before, absent = absent, find_absent(now=now)
            if gone := before & absent:
                for run_id in free_runs(gone, now=now):
                    wake(run_id)
        except Error as error:  # the database may be restarting: try again at the next beat
            log.warning("presence.lost", error=str(error))
            connection.close()
        threading.Event().wait(BEAT_SECONDS)


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock_shared(%s, hashtext(%s))", [CLASS, _name])


def find_absent(*, now: datetime) -> set[str]:
    """Which workers have leases that still hold, and are not there."""
    with connection.cursor() as cursor:
        cursor.execute(ABSENT, [now, CLASS])
        return {owner for (owner,) in cursor.fetchall()}


def free_runs(owners: Collection[str], *, now: datetime) -> list[UUID]:
    """End the leases of workers that are gone. Returns their runs, which can be claimed now."""
    with connection.cursor() as cursor:
        cursor.execute(FREE, [now, list(owners), now])
        run_ids = [run_id for (run_id,) in cursor.fetchall()]
    log.warning("presence.ended", owners=sorted(owners), runs=len(run_ids))
    return run_ids
