"""The ledger: the only way by which money or mail leaves the shop."""

from decimal import Decimal

from django.db import IntegrityError, transaction

from agents.examples.support import money
from agents.examples.support.models import Customer, LedgerEntry, Order
from agents.tools import ToolContext, ToolFailure


def record_refund(*, context: ToolContext, order_id: str, amount: Decimal, reason: str) -> LedgerEntry:
    """Pay `amount` in the order's currency back; return the entry, the first one where the key was used before.

    Refunds of one order queue up on its row, so that together they never exceed what was paid. Raises ToolFailure
    where less than `amount` is left, or where the key was used for something else.
    """
    with transaction.atomic():
        order = Order.objects.select_for_update().get(pk=order_id)
        before = LedgerEntry.objects.filter(idempotency_key=context.idempotency_key).first()
        if before is not None:
            return _same(before, LedgerEntry.Kind.REFUND, order_id=order_id, amount=amount)
        if amount > order.refundable:
            raise ToolFailure(too_much(order, amount))
        return LedgerEntry.objects.create(
            kind=LedgerEntry.Kind.REFUND,
            idempotency_key=context.idempotency_key,
            customer_id=order.customer_id,
            order=order,
            amount=amount,
            currency=order.currency,
            text=reason,
            run_id=context.run_id,
            recorded_at=context.now,
        )


def record_email(*, context: ToolContext, customer: Customer, subject: str, body: str) -> LedgerEntry:
    """Send an e-mail to `customer`; return the entry, the first one where the key was used before.

    Raises ToolFailure where the key was used for something else.
    """
    try:
        with transaction.atomic():
            return LedgerEntry.objects.create(
                kind=LedgerEntry.Kind.EMAIL,
                idempotency_key=context.idempotency_key,
                customer=customer,
                subject=subject,
                text=body,
                run_id=context.run_id,
                recorded_at=context.now,
            )
    except IntegrityError:
        before = LedgerEntry.objects.get(idempotency_key=context.idempotency_key)
        return _same(before, LedgerEntry.Kind.EMAIL, customer_id=customer.pk, subject=subject, text=body)


def too_much(order: Order, amount: Decimal) -> str:
    """Why `amount` can't be refunded, with the amount that can."""
    asked, left = money.in_words(amount, order.currency), order.refundable
    so_far = (
        f"{money.in_words(order.paid, order.currency)} was paid and "
        f"{money.in_words(order.refunded, order.currency)} was refunded before"
    )
    if left <= 0:
        return (
            f"amount: {asked} can't be refunded for order {order.pk}: nothing is left to refund ({so_far})."
        )
    return (
        f"amount: {asked} is more than what is left to refund for order {order.pk}: "
        f"{money.in_words(left, order.currency)} ({so_far}). Ask for at most {money.written(left, order.currency)}."
    )


def _same(entry: LedgerEntry, kind: LedgerEntry.Kind, **values: object) -> LedgerEntry:
    """`entry`, if it says the same: a key names one effect, never two."""
    if entry.kind != kind or any(getattr(entry, name) != value for name, value in values.items()):
        raise ToolFailure(
            f"The idempotency key {entry.idempotency_key} already stands for another {entry.kind} (ledger entry {entry.pk})."
        )
    return entry
