"""Celery's doors into the runtime: a message in, one domain call."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from agents.runtime import loop, recovery
from agents.runtime.journal import give_back_connection


@shared_task(name="agents.advance_run", ignore_result=True)
def advance_run(run_id: str) -> None:
    """Carry a run over one stretch."""
    loop.advance(UUID(run_id))


@shared_task(name="agents.sweep", ignore_result=True)
def sweep() -> None:
    """Wake what should be moving and isn't."""
    try:
        recovery.sweep(now=timezone.now())
    finally:
        give_back_connection()
