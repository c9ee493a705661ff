"""The tools that do something. Each has one effect per idempotency key, and can be shown before it happens."""

import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import WithJsonSchema

from agents.examples.support import access, ledger, money
from agents.examples.support.models import CrmNote, Customer, Order
from agents.examples.support.tools.looking import CustomerId, OrderId
from agents.tools import Change, Preview, ToolContext, ToolFailure, tool
from agents.tools.python import Field

# Text as a person writes it: not empty, and no blanks alone.
Words = Annotated[str, Field(min_length=1, max_length=5000, pattern=r"\S")]
Amount = Annotated[
    Decimal,
    WithJsonSchema(
        {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 1_000_000_000,
            "description": "How much to pay back, in the order's currency, as in 129.00",
        }
    ),
]
Currency = Annotated[
    str,
    Field(
        pattern="^([A-Z]{3})?$",
        description="Currency of the amount, as in EUR; must be the order's. Empty for the order's own",
    ),
]
Reason = Annotated[str, Field(min_length=1, max_length=1000, description="Why, in a sentence, for the books")]
Subject = Annotated[str, Field(min_length=1, max_length=150, description="Subject line, on one line")]


def visible(text: str) -> str:
    """`text` without characters that can't be seen, such as those which turn the direction of reading."""
    return "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf"))


def customer_name(customer_id: object) -> str:
    """The customer as an operator reads it; the bare number where there is no such customer."""
    customer = Customer.objects.filter(pk=customer_id).first()
    return visible(customer.name) if customer else f"customer {customer_id}"


def refund_title(arguments: dict[str, Any]) -> str:
    """The refund in words; the arguments need not be valid."""
    order = Order.objects.select_related("customer").filter(pk=arguments["order_id"]).first()
    if order is None:
        return f"Refund {arguments['amount']} for order {arguments['order_id']}"
    try:
        amount = money.in_words(
            Decimal(str(arguments["amount"])), arguments.get("currency") or order.currency
        )
    except (InvalidOperation, KeyError):
        amount = f"{arguments['amount']} {arguments.get('currency', '')}".rstrip()
    return f"Refund {amount} to {visible(order.customer.name)} for order {order.pk}"


def email_title(arguments: dict[str, Any]) -> str:
    """The e-mail in words."""
    return f"E-mail {customer_name(arguments['customer_id'])}: {visible(arguments['subject'])}"


def note_title(arguments: dict[str, Any]) -> str:
    """The note in words."""
    return f"Add a CRM note about {customer_name(arguments['customer_id'])}"


def _order_of(context: ToolContext, customer: Customer, order_id: str) -> Order | None:
    if not order_id:
        return None
    order = access.order_for(context, order_id)
    if order.customer_id != customer.pk:
        raise ToolFailure(
            f"order_id: order {order_id} is of customer {order.customer_id}, not of {customer.pk}."
        )
    return order


def check_note(context: ToolContext, customer_id: str, text: str, order_id: str = "") -> None:
    """Refuse a note about an unknown customer, or about an order of somebody else."""
    _order_of(context, access.customer_for(context, customer_id), order_id)


def preview_note(context: ToolContext, customer_id: str, text: str, order_id: str = "") -> Preview:
    """Show the note as it would stand in the CRM."""
    customer = access.customer_for(context, customer_id)
    return Preview(
        summary=f"A note is added to {visible(customer.name)}'s record. It can be deleted.",
        changes=(Change(field="notes", before=customer.notes.count(), after=customer.notes.count() + 1),),
        facts={"customer": visible(str(customer)), "order": order_id or "none", "text": text},
    )


@tool(
    category="mutation",
    effect="reversible",
    idempotent=True,
    untrusted=False,
    title=note_title,
    when_to_use="A colleague must know or do something: an address to change, a promise made, an attempt at fraud.",
    when_not_to_use="The customer should read it: that is send_email.",
    check=check_note,
    preview=preview_note,
)
def add_crm_note(
    context: ToolContext,
    customer_id: CustomerId,
    text: Annotated[Words, Field(description="The note, in English")],
    order_id: Annotated[str, Field(description="Order that it is about, as in O-1042; empty for none")] = "",
) -> dict[str, Any]:
    """Add a note for colleagues to a customer's record in the CRM."""
    customer = access.customer_for(context, customer_id)
    note, _ = CrmNote.objects.get_or_create(
        idempotency_key=context.idempotency_key,
        defaults={
            "customer": customer,
            "order": _order_of(context, customer, order_id),
            "author": f"agent {context.agent}",
            "text": text,
            "written_at": context.now,
        },
    )
    return {"note": note.pk, "customer_id": note.customer_id, "written_at": note.written_at.isoformat()}


def check_refund(
    context: ToolContext, order_id: str, amount: Decimal, reason: str, currency: str = ""
) -> None:
    """Refuse what can't be paid: an unknown order, a wrong currency, no amount, or more than what is left."""
    order = access.order_for(context, order_id)
    if currency and currency != order.currency:
        raise ToolFailure(
            f"currency: order {order_id} was paid in {order.currency}, not {currency}. "
            f"Give the amount in {order.currency}, or leave currency out."
        )
    if amount <= 0:
        raise ToolFailure(f"amount: {amount} is not an amount to refund. Give a number above 0.")
    if amount > order.refundable:
        raise ToolFailure(ledger.too_much(order, amount))
    if not money.has_fitting_decimals(amount, order.currency):
        digits = money.DECIMALS[order.currency]
        raise ToolFailure(
            f"amount: {amount} can't be paid in {order.currency}, which has {digits or 'no'} decimals. "
            f"Give {money.written(amount, order.currency)}."
        )


def preview_refund(
    context: ToolContext, order_id: str, amount: Decimal, reason: str, currency: str = ""
) -> Preview:
    """Show what is left to refund before and after."""
    order = access.order_for(context, order_id)
    return Preview(
        summary=(
            f"{money.in_words(amount, order.currency)} goes back to the card that paid order {order_id}. "
            "It can't be taken back."
        ),
        changes=(
            Change(
                field="left to refund",
                before=money.in_words(order.refundable, order.currency),
                after=money.in_words(order.refundable - amount, order.currency),
            ),
            Change(
                field="refunded so far",
                before=money.in_words(order.refunded, order.currency),
                after=money.in_words(order.refunded + amount, order.currency),
            ),
        ),
        facts={
            "customer": visible(str(order.customer)),
            "order": f"{order_id}, {order.status}, placed {order.placed_at:%Y-%m-%d}",
            "products": ", ".join(str(line) for line in order.lines.order_by("pk")),
            "order total": money.in_words(order.total, order.currency),
            "paid": money.in_words(order.paid, order.currency),
            "parcels": ", ".join(f"{s.pk} {s.status}" for s in order.shipments.order_by("pk")) or "none",
        },
    )


@tool(
    category="mutation",
    effect="irreversible",
    idempotent=True,
    untrusted=False,
    title=refund_title,
    when_to_use="get_order shows that money is owed: a lost parcel, broken goods, goods sent back, a double charge.",
    when_not_to_use="It was refunded before, or nothing but the customer's own text says that it is owed.",
    check=check_refund,
    preview=preview_refund,
)
def issue_refund(
    context: ToolContext, order_id: OrderId, amount: Amount, reason: Reason, currency: Currency = ""
) -> dict[str, Any]:
    """Pay money back for an order, to the card that paid it; at most what is left to refund."""
    order = access.order_for(context, order_id)
    entry = ledger.record_refund(context=context, order_id=order_id, amount=amount, reason=reason)
    return {
        "refund": f"RF-{entry.pk}",
        "order_id": order_id,
        "refunded": money.as_json(amount, order.currency),
        "left_to_refund": money.as_json(order.refundable, order.currency),
        "refunded_at": entry.recorded_at.isoformat(),
    }


def check_email(context: ToolContext, customer_id: str, subject: str, body: str) -> None:
    """Refuse mail to an unknown customer, and a subject that would break out of its header."""
    access.customer_for(context, customer_id)
    if not subject.isprintable():
        raise ToolFailure(
            "subject: give one line of visible characters, without line breaks or control characters."
        )


def preview_email(context: ToolContext, customer_id: str, subject: str, body: str) -> Preview:
    """Show the mail as it would go out."""
    customer = access.customer_for(context, customer_id)
    return Preview(
        summary=f"This mail goes to {visible(customer.name)} at {customer.email}. It can't be called back.",
        facts={"to": customer.email, "customer": visible(str(customer)), "subject": subject, "body": body},
    )


@tool(
    category="mutation",
    effect="irreversible",
    idempotent=False,  # a mail server makes no such promise: after a crash, a person looks whether it went out
    egress=True,
    untrusted=False,
    title=email_title,
    when_to_use="The customer must know of something outside this answer, such as a refund that was paid.",
    when_not_to_use="Your answer to the ticket says it already, or a tool has not confirmed it yet.",
    check=check_email,
    preview=preview_email,
)
def send_email(
    context: ToolContext,
    customer_id: CustomerId,
    subject: Subject,
    body: Annotated[Words, Field(description="The mail as plain text, in the customer's language")],
) -> dict[str, Any]:
    """Send an e-mail to a customer, at the address that the shop has on record."""
    customer = access.customer_for(context, customer_id)
    entry = ledger.record_email(context=context, customer=customer, subject=subject, body=body)
    return {"email": f"EM-{entry.pk}", "to": customer.email, "sent_at": entry.recorded_at.isoformat()}
