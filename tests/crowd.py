"""A queue as long as one wishes, of requests as large as real ones."""

from datetime import timedelta

from django.db import connection
from django.utils import timezone

from approvals.models import Approval


def fill_queue(pending: int, *, settled: int = 0) -> None:
    """Add so many requests that wait, each with a time limit of its own, and so many that were denied."""
    now = timezone.now()
    evidence = {"evidence": [{"tool": "read_mail", "result": "words " * 200, "arguments": {}}]}
    Approval.objects.bulk_create(
        (
            Approval(
                title=f"Pay EUR {place}.00 to acme",
                tool="pay",
                agent="teller",
                risk=("low", "medium", "high")[place % 3],
                digest=f"{place:064d}",
                arguments={"account": "acme", "amount": place},
                context=evidence,
                status="pending" if place < pending else "denied",
                requested_at=now - timedelta(seconds=place),
                expires_at=now + timedelta(seconds=3600 + (place * 7919) % 50_000),
                resolved_at=None if place < pending else now,
            )
            for place in range(pending + settled)
        ),
        batch_size=1000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE approvals_approval")
