"""Sending a callback: one signed POST, and what its answer means."""

import json
import threading
import time
from datetime import datetime
from functools import cache
from uuid import UUID

import httpx2
import structlog
from django.utils import timezone
from kombu.exceptions import OperationalError
from ninja.responses import NinjaJSONEncoder
from standardwebhooks import Webhook

from agents.providers.patience import patient
from agents.tools import egress
from approvals import deliveries
from approvals.models import Delivery
from console.callbacks.keys import signing_secrets
from traces import sealing
from traces.models import Event

log = structlog.get_logger(__name__)

SECONDS = 10.0  # for all of one attempt
SLOTS = 16  # attempts of one process at a time, so that receivers which hang leave threads for runs
READ_BYTES = 4 * deliveries.ANSWER_CHARS

_slots = threading.BoundedSemaphore(SLOTS)


def wake_for(event: Event) -> None:
    """After the commit: send word of a request that has no run, which is one of another program."""
    if event.run_id is None:
        for delivery_id in deliveries.waiting_for(UUID(event.object_id)):
            _wake(delivery_id)


def wake_due(*, now: datetime) -> None:
    """Send what is due: again after a failure, or for the first time where nobody heard of it."""
    for delivery_id in deliveries.due(now=now):
        _wake(delivery_id)


def send(delivery_id: UUID, *, now: datetime) -> None:
    """Make one attempt, if one is due and there is room; else it stays due, and comes again."""
    if not _slots.acquire(blocking=False):
        return
    try:
        delivery = deliveries.claim(delivery_id, now=now)
        if delivery is not None:
            _attempt(delivery, now=now)
    finally:
        _slots.release()


def _attempt(delivery: Delivery, *, now: datetime) -> None:
    try:
        body = _body(delivery)
        status, answer = _post(delivery.approval.callback_url, body, _headers(delivery, body, now))
    except sealing.Unreadable as error:
        deliveries.give_up(delivery, error=f"The signing key can't be read. {error}")
    except (httpx2.HTTPError, egress.EgressRefused) as error:
        deliveries.failed(delivery, now=timezone.now(), error=_words(error))
    else:
        if 200 <= status < 300:
            deliveries.delivered(delivery, status=status, answer=answer)
        else:
            deliveries.failed(
                delivery,
                now=timezone.now(),
                error=f"The receiver answered {status}.",
                status=status,
                answer=answer,
            )


@cache
def _client() -> httpx2.Client:
    return egress.client(keep_alive=False, timeout=SECONDS)


def _post(url: str, body: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status, and how the answer begins."""
    ends_at, begun = time.monotonic() + SECONDS, b""
    with (
        patient(timeout=SECONDS),
        _client().stream("POST", url, content=body.encode(), headers=headers) as response,
    ):
        try:
            for chunk in response.iter_raw(READ_BYTES):
                begun += chunk
                if len(begun) >= READ_BYTES or time.monotonic() >= ends_at:
                    break
        except (httpx2.HTTPError, egress.Unread):
            pass  # the status came, and is what counts
        return response.status_code, begun[:READ_BYTES].decode("utf-8", "replace")


def _body(delivery: Delivery) -> str:
    """What is sent: made at the first attempt, and kept, since every attempt sends the same."""
    if not delivery.body:
        from console.api.approvals import shape_approval

        data = shape_approval(delivery.approval).model_copy(update={"callback": None})
        delivery.body = json.dumps(
            {
                "type": delivery.event,
                "timestamp": delivery.created_at,
                "data": data.model_dump(),
            },
            cls=NinjaJSONEncoder,  # as the API answers
        )
        Delivery.objects.filter(pk=delivery.pk, body="").update(body=delivery.body)
    return delivery.body


def _headers(delivery: Delivery, body: str, now: datetime) -> dict[str, str]:
    asker = delivery.approval.requested_by
    assert asker is not None  # only programs name a callback
    name = f"msg_{delivery.pk.hex}"
    signatures = [Webhook(secret).sign(name, now, body) for secret in signing_secrets(asker, now=now)]
    return {
        "Content-Type": "application/json",
        "User-Agent": "Gatehouse",
        "webhook-id": name,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _words(error: Exception) -> str:
    if isinstance(error, httpx2.TimeoutException):
        return f"The receiver did not answer within {SECONDS:g} s."
    if isinstance(error, egress.EgressRefused):
        return str(error)
    return f"The receiver can't be reached: {error or type(error).__name__}."


def _wake(delivery_id: UUID) -> None:
    from console.tasks import deliver

    try:
        deliver.apply_async((str(delivery_id),), retry=False)
    except OperationalError as error:
        log.warning("callback.wake_lost", delivery=str(delivery_id), error=str(error))
