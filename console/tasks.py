"""Celery's doors into the console: a message in, one call."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from agents.runtime.journal import give_back_connection
from console.callbacks import sending


@shared_task(name="console.deliver", ignore_result=True)
def deliver(delivery_id: str) -> None:
    """Make one attempt to send a callback."""
    try:
        sending.send(UUID(delivery_id), now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="console.deliver_due", ignore_result=True)
def deliver_due() -> None:
    """Wake the callbacks whose time has come."""
    try:
        sending.wake_due(now=timezone.now())
    finally:
        give_back_connection()
