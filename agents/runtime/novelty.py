"""What ran before a call: whether it, or its amount, is new. One statement, where people are to be asked."""

from agents.models import ToolCall
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from approvals.risk import LOOKED_AT, Past

RAN = frozenset({CallStatus.SUCCEEDED, CallStatus.RECONCILED})


def past_of(stretch: Stretch, call: ToolCall) -> Past:
    """Of the latest calls of the same tool, those that ran: simulated ones only beside simulated ones."""
    run = stretch.run
    done = ToolCall.objects.filter(tool=call.tool, run__rehearsal=False)
    latest = done.order_by("-created_at").exclude(pk=call.pk)[:LOOKED_AT]
    rows = latest.values_list(
        "arguments", "status", "run__subject", "run__simulated", "run__version__agent_id"
    )
    found = list(rows)
    ran = [
        (arguments, subject, agent == run.version.agent_id)
        for arguments, status, subject, simulated, agent in found
        if status in RAN and simulated == run.simulated and isinstance(arguments, dict)
    ]
    return Past(
        by_asker=[arguments for arguments, _, mine in ran if mine],
        for_subject=not run.subject or any(mine and subject == run.subject for _, subject, mine in ran),
        is_whole=len(found) < LOOKED_AT,
    )
