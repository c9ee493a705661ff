"""What `make up` finds on its first start: the examples' data, their agents and suites, and tickets that wait in the inbox."""

from pathlib import Path

from django.db import transaction

from agents.actions import start_run
from agents.evals import keeping
from agents.examples.support.data import load_data
from agents.examples.support.tickets import load_tickets, ticket_input
from agents.files import apply_file
from agents.models import Run

__all__ = ["seed_examples", "ticket_input"]

SUPPORT = Path(__file__).resolve().parent / "support"
FIRST_TICKETS = ("T-1001", "T-1002", "T-1003")
"""A lost parcel, a broken mug with a mail, and a hostile message: each stops at the inbox."""


def seed_examples() -> None:
    """Load the examples' data, agents and suites, and start the first tickets if the agent has never run.

    Safe to call at every start: what is there already stays as it is.
    """
    load_data()
    for file in ("support.yaml", "gateway.yaml"):
        apply_file(SUPPORT / file, actor=None)
    keeping.apply_files(sorted(SUPPORT.glob("suites/*.yaml")), actor=None)
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
