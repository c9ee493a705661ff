"""How tools reach the shop's rows: by these functions alone, which keep one customer's data from another's run."""

from difflib import get_close_matches

from agents.examples.support.models import Customer, Order, Shipment
from agents.tools import Denied, NotFound, ToolContext


def customer_for(context: ToolContext, customer_id: str) -> Customer:
    """The customer `customer_id`. Raises Denied where the run is for another one, NotFound where there is none."""
    _permit(context, customer_id, f"Customer {customer_id}")
    customer = Customer.objects.filter(pk=customer_id).first()
    if customer is None:
        known = list(Customer.objects.order_by("pk").values_list("pk", flat=True))
        raise NotFound(f"Customer {customer_id} does not exist. {_near(customer_id, known)}".rstrip())
    return customer


def order_for(context: ToolContext, order_id: str) -> Order:
    """The order `order_id` with its customer. Raises Denied where it belongs to another customer than the run's.

    Raises NotFound with a number that comes close, taken from the orders which this run may see.
    """
    order = Order.objects.select_related("customer").filter(pk=order_id).first()
    if order is None:
        orders = Order.objects.order_by("pk")
        if subject := context.subject.get("customer_id"):
            orders = orders.filter(customer_id=subject)
        known = list(orders.values_list("pk", flat=True))
        hint = _near(order_id, known) or "Call search_orders to list the customer's orders."
        raise NotFound(f"Order {order_id} does not exist. {hint}")
    _permit(context, order.customer_id, f"Order {order_id}")
    return order


def shipment_for(context: ToolContext, shipment_id: str) -> Shipment:
    """The parcel `shipment_id` with its order. Raises Denied and NotFound as `order_for` does."""
    shipment = Shipment.objects.select_related("order").filter(pk=shipment_id).first()
    if shipment is None:
        raise NotFound(
            f"Shipment {shipment_id} does not exist. Call get_order: it lists the order's shipments."
        )
    _permit(context, shipment.order.customer_id, f"Shipment {shipment_id}")
    return shipment


def _permit(context: ToolContext, customer_id: str, what: str) -> None:
    """A run without a subject is one of the shop's own staff, who may see everyone."""
    subject = context.subject.get("customer_id")
    if subject and subject != customer_id:
        raise Denied(
            f"{what} is not of customer {subject}, for whom this run works. Use that customer's data alone."
        )


def _near(wanted: str, known: list[str]) -> str:
    wanted = wanted.upper()
    turned = [
        number for number in known if sorted(number) == sorted(wanted)
    ]  # digits turned round come first
    matches = get_close_matches(wanted, turned or known, n=1, cutoff=0.6)
    return f"Did you mean {matches[0]}?" if matches else ""
