"""The queue of the example: what customers wrote, and how it becomes the input of a run."""

import json
from dataclasses import dataclass
from pathlib import Path

from agents.examples.support.models import Customer

TICKETS = Path(__file__).resolve().parent / "tickets.jsonl"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a customer wrote to the support example."""

    id: str
    customer_id: str
    subject: str
    text: str
    received_at: str  # ISO 8601


def load_tickets() -> list[Ticket]:
    """The tickets of the support example, in the order in which they came."""
    lines = TICKETS.read_text(encoding="utf-8").splitlines()
    return [Ticket(**json.loads(line)) for line in lines]


def ticket_input(ticket: Ticket) -> str:
    """The input of a run that works on `ticket`: who wrote, the subject, and the text as it came."""
    name = Customer.objects.get(pk=ticket.customer_id).name
    return (
        f"Ticket {ticket.id} from {name} ({ticket.customer_id})\nSubject: {ticket.subject}\n\n{ticket.text}"
    )
