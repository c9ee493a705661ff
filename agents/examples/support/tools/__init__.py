"""What the support agent can do: four ways to look something up, three to act."""

from agents.examples.support.tools.acting import add_crm_note, issue_refund, send_email
from agents.examples.support.tools.looking import get_customer, get_order, search_orders, track_shipment

__all__ = [
    "add_crm_note",
    "get_customer",
    "get_order",
    "issue_refund",
    "search_orders",
    "send_email",
    "track_shipment",
]
