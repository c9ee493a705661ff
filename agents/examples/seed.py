"""What `make up` finds on its first start: the examples' data, their agents, and tickets that wait in the inbox."""

import json
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from agents.actions import start_run
from agents.examples.support.data import load_data
from agents.examples.support.models import Customer
from agents.files import apply_file
from agents.models import Run

SUPPORT = Path(__file__).resolve().parent / "support"
FIRST_TICKETS = ("T-1001", "T-1002", "T-1003")
"""A lost parcel, a broken mug with a mail, and a hostile message: each stops at the inbox."""


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
    lines = (SUPPORT / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    return [Ticket(**json.loads(line)) for line in lines]


def ticket_input(ticket: Ticket) -> str:
    """The input of a run that works on `ticket`: who wrote, the subject, and the text as it came."""
    name = Customer.objects.get(pk=ticket.customer_id).name
    return f"Ticket {ticket.id} from {name} ({ticket.customer_id})\nSubject: {ticket.subject}\n\n{ticket.text}"


def seed_examples() -> None:
    """Load the examples' data, publish their agents, and start the first tickets if the agent has never run.

    Safe to call at every start: what is there already stays as it is.
    """
    load_data()
    apply_file(SUPPORT / "support.yaml", actor=None)
    with transaction.atomic():
        if Run.objects.filter(version__agent__name="support").exists():
            return
        for ticket in load_tickets():
            if ticket.id in FIRST_TICKETS:
                start_run(
                    agent="support",
                    input=ticket_input(ticket),
                    subject={"customer_id": ticket.customer_id},
                    task_type="ticket",
                    metadata={"ticket": ticket.id},
                )
