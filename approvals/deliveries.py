"""Word to the programs that asked: written in the transaction that it tells of, sent by whoever claims it.

A delivery is claimed for as long as an attempt may take. A worker that dies in between leaves it due again, so that it
arrives at least once; its id stays the same over all attempts, by which a receiver knows it.
"""

import random
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from approvals.access import ADMIN, OPERATOR, SERVICE, Actor, visible_approvals
from approvals.exceptions import AlreadyResolved, Missing, NotAllowed
from approvals.models import Approval, Delivery, DeliveryStatus
from traces.recorder import record
from traces.redaction import redact_text

BACK_OFF = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0)  # s, before each further attempt
JITTER = 0.2  # of the back-off, so that what failed together does not come back together
CLAIMED_FOR = timedelta(seconds=60)  # longer than an attempt can take
ANSWER_CHARS = 500
GONE = 410


def words_of(approval: Approval, what: str, *, now: datetime) -> list[Delivery]:
    """The row that tells that the request was `what`; none where nobody wants to be told."""
    if not approval.callback_url:
        return []
    return [Delivery(approval=approval, event=f"approval.{what}", created_at=now, next_at=now)]


def visible_deliveries(actor: Actor) -> QuerySet[Delivery]:
    """Those of the requests that `actor` may see."""
    return Delivery.objects.filter(approval__in=visible_approvals(actor).values("pk"))


def due(*, now: datetime, limit: int = 200) -> list[UUID]:
    """What is to be sent now, the longest due first."""
    waiting = Delivery.objects.filter(status=DeliveryStatus.WAITING, next_at__lte=now)
    return list(waiting.order_by("next_at").values_list("pk", flat=True)[:limit])


def claim(delivery_id: UUID, *, now: datetime) -> Delivery | None:
    """The delivery, for exactly one sender; None where it is not due, or given up on."""
    rows = Delivery.objects.filter(pk=delivery_id, status=DeliveryStatus.WAITING, next_at__lte=now)
    if rows.update(next_at=now + CLAIMED_FOR, attempts=F("attempts") + 1, last_at=now) != 1:
        return None
    delivery = Delivery.objects.select_related("approval__requested_by").get(pk=delivery_id)
    if Delivery.objects.filter(approval=delivery.approval_id, answer_status=GONE).exists():
        give_up(delivery, error="The receiver answered 410 Gone before: it wants to hear no more.")
        return None
    return delivery


def delivered(delivery: Delivery, *, status: int, answer: str) -> None:
    """The receiver has it."""
    _settle(delivery, DeliveryStatus.DELIVERED, answer_status=status, answer=_kept(answer), error="")


def failed(
    delivery: Delivery, *, now: datetime, error: str, status: int | None = None, answer: str = ""
) -> None:
    """An attempt did not do: come back later, or give up after the last."""
    if status == GONE or delivery.attempts > len(BACK_OFF):
        give_up(delivery, error=error, status=status, answer=answer)
        return
    pause = BACK_OFF[delivery.attempts - 1] * (1 + JITTER * random.random())  # noqa: S311 (no secret)
    _ours(delivery).update(
        next_at=now + timedelta(seconds=pause), answer_status=status, answer=_kept(answer), error=_kept(error)
    )


def give_up(delivery: Delivery, *, error: str, status: int | None = None, answer: str = "") -> None:
    """Leave it for a person to look at."""
    _settle(delivery, DeliveryStatus.DEAD, answer_status=status, answer=_kept(answer), error=_kept(error))


def resend(delivery_id: UUID, *, actor: Actor, now: datetime) -> Delivery:
    """Send anew what was given up, or was delivered and lost there. Raises NotAllowed, Missing, AlreadyResolved."""
    if not actor.roles & {OPERATOR, ADMIN, SERVICE}:
        raise NotAllowed("Sending a callback again needs the role operator, admin or service.")
    with transaction.atomic():
        rows = visible_deliveries(actor).select_for_update(of=("self",))
        delivery = rows.filter(pk=delivery_id).first()
        if delivery is None:
            raise Missing(f"There is no delivery {delivery_id} that you may see.")
        if delivery.status == DeliveryStatus.WAITING:
            raise AlreadyResolved(f"Delivery {delivery_id} is on its way already.", status=delivery.status)
        # A receiver that was gone is asked again: a person says that it is back.
        Delivery.objects.filter(approval=delivery.approval_id, answer_status=GONE).update(answer_status=None)
        fresh = {
            "status": DeliveryStatus.WAITING,
            "attempts": 0,
            "next_at": now,
            "answer_status": None,
            "error": "",
        }
        Delivery.objects.filter(pk=delivery.pk).update(**fresh)
        for name, value in fresh.items():
            setattr(delivery, name, value)
        _record("callback.resent", delivery, actor=str(actor))
    return delivery


def waiting_for(approval_id: UUID) -> list[UUID]:
    """The deliveries of this request that wait for their first attempt."""
    rows = Delivery.objects.filter(approval=approval_id, status=DeliveryStatus.WAITING, attempts=0)
    return list(rows.order_by("created_at", "pk").values_list("pk", flat=True))


def _ours(delivery: Delivery) -> QuerySet[Delivery]:
    """The row, unless the claim ran out and somebody else has it."""
    return Delivery.objects.filter(
        pk=delivery.pk, status=DeliveryStatus.WAITING, attempts=delivery.attempts, next_at=delivery.next_at
    )


def _settle(delivery: Delivery, status: DeliveryStatus, **values: object) -> None:
    with transaction.atomic():
        if _ours(delivery).update(status=status, next_at=None, **values):
            _record(f"callback.{status}", delivery, actor="system")


def _kept(text: str) -> str:
    return redact_text(text)[:ANSWER_CHARS]


def _record(name: str, delivery: Delivery, *, actor: str) -> None:
    record(
        name,
        actor=actor,
        object_id=delivery.approval_id,
        data={"delivery": str(delivery.pk), "event": delivery.event, "attempts": delivery.attempts},
    )
