"""The first start finds the examples, and a later one leaves them as they are."""

import pytest

from agents.examples.seed import seed_examples
from agents.examples.support.models import LedgerEntry, Order
from agents.models import AgentVersion, Run


@pytest.mark.django_db
@pytest.mark.req("AGT-6")
def test_the_first_start_puts_three_tickets_in_the_queue_and_a_second_none() -> None:
    seed_examples()
    runs = Run.objects.order_by("created_at", "pk")
    assert sorted(run.metadata["ticket"] for run in runs) == ["T-1001", "T-1002", "T-1003"]
    for run in runs:
        assert run.status == "queued"
        assert run.task_type == "ticket"
        assert run.input.startswith(f"Ticket {run.metadata['ticket']} from ")
        assert f"({run.subject['customer_id']})" in run.input.splitlines()[0]

    def counts() -> list[int]:
        return [model._default_manager.count() for model in (Run, AgentVersion, Order, LedgerEntry)]

    before = counts()
    seed_examples()
    assert counts() == before
