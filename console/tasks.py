"""Celery's doors into the console: a message in, one call."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from agents.runtime.journal import give_back_connection
from approvals.attention import care, escalation
from console.callbacks import sending
from console.notifications import outbox
from console.notifications import sending as notices
from traces.audit.sealer import seal_due
from traces.audit.stored import verify_and_record
from traces.otlp.export import export_due


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


@shared_task(name="console.tell", ignore_result=True)
def tell() -> None:
    """Write down what is to be told, and wake the channels that have something to tell."""
    now = timezone.now()
    try:
        outbox.collect(now=now)
        notices.wake_due(now=now)
    finally:
        give_back_connection()


@shared_task(name="console.seal_events", ignore_result=True)
def seal_events() -> None:
    """Seal what was written to the audit log."""
    try:
        seal_due()
    finally:
        give_back_connection()


@shared_task(name="console.export_spans", ignore_result=True)
def export_spans() -> None:
    """Send our spans to where OTEL_EXPORTER_OTLP_ENDPOINT says."""
    try:
        export_due(now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="console.send_notices", ignore_result=True)
def send_notices(channel_id: int) -> None:
    """Tell by one channel what is due."""
    try:
        notices.send_due(channel_id, now=timezone.now())
    finally:
        give_back_connection()


@shared_task(name="console.escalate", ignore_result=True)
def escalate() -> None:
    """Take the steps of the chain whose time has come, and note what expires soon."""
    now = timezone.now()
    try:
        escalation.escalate_due(now=now)
        care.warn_of_ends(now=now)
    finally:
        give_back_connection()


@shared_task(name="console.verify_audit", ignore_result=True)
def verify_audit(actor: str = "system") -> None:
    """Check all that was sealed; the result is an event."""
    try:
        verify_and_record(actor=actor)
    finally:
        give_back_connection()
