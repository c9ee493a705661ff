"""The tools that only read. Results are JSON; times are ISO 8601 in UTC, amounts are text with their currency."""

from typing import Annotated, Any, Literal

from agents.examples.support import access, money
from agents.examples.support.models import LedgerEntry, Order, Shipment
from agents.tools import ToolContext, tool
from agents.tools.python import Field

# Looser than the numbers are, so that a near miss is answered with what was probably meant.
NUMBER = r"^[A-Za-z0-9-]{1,20}$"
CustomerId = Annotated[str, Field(pattern=NUMBER, description="Number of the customer, as in C-0017")]
OrderId = Annotated[str, Field(pattern=NUMBER, description="Number of the order, as in O-1042")]
ShipmentId = Annotated[
    str, Field(pattern=NUMBER, description="Number of the parcel, as in S-1042-1; see get_order")
]

NOTES_SHOWN = 10
ORDERS_SHOWN = 20


@tool(
    category="lookup",
    effect="read",
    idempotent=True,
    title="Look up customer {customer_id}",
    when_to_use="You need the customer's language, city or history of contacts.",
    when_not_to_use="The question is about one order whose number you have: get_order is enough.",
)
def get_customer(context: ToolContext, customer_id: CustomerId) -> dict[str, Any]:
    """Get a customer's name, e-mail address, country, language and the latest CRM notes.

    Notes may quote what customers wrote, so the result counts as words of outsiders.
    """
    customer = access.customer_for(context, customer_id)
    notes = customer.notes.order_by("-written_at", "-pk")[:NOTES_SHOWN]
    return {
        "customer_id": customer.pk,
        "name": customer.name,
        "email": customer.email,
        "country": customer.country,
        "city": customer.city,
        "language": customer.language,
        "since": customer.since.isoformat(),
        "orders": customer.orders.count(),
        "notes": [
            {"written_at": note.written_at.isoformat(), "author": note.author, "text": note.text}
            for note in notes
        ],
    }


@tool(
    category="lookup",
    effect="read",
    idempotent=True,
    untrusted=False,  # numbers, states and the shop's own product names: nothing that a customer wrote
    title="Look up order {order_id}",
    when_to_use="Always before you say anything about an order or act on it.",
    when_not_to_use="You don't know the order's number: use search_orders.",
)
def get_order(context: ToolContext, order_id: OrderId) -> dict[str, Any]:
    """Get an order with its lines, parcels, returns, what was paid, the refunds so far and what is left to refund."""
    order = access.order_for(context, order_id)
    refunds = order.ledger.filter(kind=LedgerEntry.Kind.REFUND).order_by("recorded_at", "pk")
    return {
        **_brief(order),
        "customer_id": order.customer_id,
        "shipping_fee": money.as_json(order.shipping_fee, order.currency),
        "paid": money.as_json(order.paid, order.currency),
        "refundable": money.as_json(order.refundable, order.currency),
        "lines": [
            {
                "sku": line.sku,
                "title": line.title,
                "quantity": line.quantity,
                "unit_price": money.as_json(line.unit_price, order.currency),
            }
            for line in order.lines.order_by("pk")
        ],
        "shipments": [_parcel(context, shipment) for shipment in order.shipments.order_by("pk")],
        "returns": [
            {"return_id": back.pk, "sku": back.line.sku, "quantity": back.quantity, "status": back.status}
            for back in order.returns.select_related("line").order_by("pk")
        ],
        "refunds": [
            {**money.as_json(refund.amount, order.currency), "refunded_at": refund.recorded_at.isoformat()}
            for refund in refunds
            if refund.amount is not None
        ],
    }


@tool(
    category="search",
    effect="read",
    idempotent=True,
    untrusted=False,
    title="Search the orders of customer {customer_id}",
    when_to_use="The customer names no order number, or one that does not exist.",
    when_not_to_use="You have the number of the order: use get_order.",
)
def search_orders(
    context: ToolContext,
    customer_id: CustomerId,
    text: Annotated[str, Field(description="Part of a product's name; empty for any", max_length=100)] = "",
    status: Annotated[
        Literal["any", "placed", "shipped", "delivered", "cancelled"], Field(description="State of the order")
    ] = "any",
) -> dict[str, Any]:
    """Find orders of a customer, newest first, by product name and state; gives at most 20 and says how many there are."""
    found = access.customer_for(context, customer_id).orders.order_by("-placed_at", "-pk")
    if status != "any":
        found = found.filter(status=status)
    if text:
        found = found.filter(lines__title__icontains=text).distinct()
    return {
        "total": found.count(),
        "orders": [
            {**_brief(order), "products": [line.title for line in order.lines.all()]}
            for order in found.prefetch_related("lines")[:ORDERS_SHOWN]
        ],
    }


@tool(
    category="lookup",
    effect="read",
    idempotent=True,
    untrusted=False,
    title="Track parcel {shipment_id}",
    when_to_use="The customer asks where a parcel is, or says that one did not come.",
    when_not_to_use="The order has no parcels yet.",
)
def track_shipment(context: ToolContext, shipment_id: ShipmentId) -> dict[str, Any]:
    """Get a parcel's state, its scans at the carrier, and how many days it was not scanned."""
    shipment = access.shipment_for(context, shipment_id)
    return {
        **_parcel(context, shipment),
        "order_id": shipment.order_id,
        "shipped_at": shipment.shipped_at.isoformat(),
        "products": [str(line) for line in shipment.lines.order_by("pk")],
        "scans": shipment.scans,
    }


def _brief(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.pk,
        "order_status": order.status,
        "placed_at": order.placed_at.isoformat(),
        "total": money.as_json(order.total, order.currency),
    }


def _parcel(context: ToolContext, shipment: Shipment) -> dict[str, Any]:
    parcel: dict[str, Any] = {
        "shipment_id": shipment.pk,
        "carrier": shipment.carrier,
        "status": shipment.status,
        "expected_at": shipment.expected_at.isoformat(),
        "last_scan_at": shipment.last_scan_at.isoformat(),
    }
    if shipment.status != Shipment.Status.DELIVERED:
        parcel["days_without_scan"] = (context.now - shipment.last_scan_at).days
    return parcel
