"""Waking a run: a message that says only "look at run X". Losing one costs time, never work."""

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from agents.runtime.pickup import DUE
from agents.valkey import valkey
from traces.models import Event

log = structlog.get_logger(__name__)

HELD_SLACK = 0.05  # s, so that the time is up when it is looked at

WAKING = frozenset(
    {
        "approval.approved",
        "approval.denied",
        "approval.expired",
        "approval.withdrawn",
        "approval.cancelled",
        "approval.answered",
    }
)


def wake(run_id: UUID, *, delay: float = 0) -> None:
    """Have some worker look at the run, after `delay` (s).

    Never raises for a broker that is away: the sweeper will find the run.
    """
    from agents.tasks import advance_run  # the task module imports the loop, which imports this one

    if delay > 0:
        _send(advance_run, str(run_id), delay=delay, run=str(run_id))
        return
    try:
        valkey().rpush(DUE, str(run_id))
    except RedisError as error:
        log.warning("wake.lost", run=str(run_id), error=str(error))


def wake_decided(event: Event) -> None:
    """After a decision was committed, wake the run that waits for it."""
    if event.run_id is not None and event.name in WAKING:
        wake(event.run_id)


def wake_held(event: Event) -> None:
    """After people approved what its rule holds for a while, look at it when that is over; the sweeper does, too."""
    from agents.tasks import release_held

    until = datetime.fromisoformat(event.data["until"])
    delay = max(0.0, (until - timezone.now()).total_seconds()) + HELD_SLACK
    _send(release_held, delay=delay, approval=event.object_id)


def wake_batches() -> None:
    """Have a worker look at the batches; the clock does, too, so that losing this loses nothing but time."""
    from agents.tasks import advance_batches

    _send(advance_batches, delay=0, batch="any")


def _send(task: Any, *arguments: str, delay: float, **about: str) -> None:
    try:
        task.apply_async(arguments, countdown=delay, retry=False)
    except (OperationalError, RedisError) as error:
        log.warning("wake.lost", **about, error=str(error))
