"""What ran before a call: whether it, or its amount, is new."""

import time
from typing import Any

from pydantic_core import from_json

from agents.models import ToolCall
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from approvals.risk import LOOKED_AT, Past
from traces.statement import ask

RAN = frozenset({CallStatus.SUCCEEDED, CallStatus.RECONCILED})
KNOWN_SECONDS = 2.0  # for which the calls of a tool are not read again: many runs may ask at once
TOOLS = 1000  # that are known at once
LATEST = f"""
SELECT call.arguments, call.status, run.subject, run.simulated, version.agent_id
FROM agents_toolcall call JOIN agents_run run ON run.id = call.run_id
    JOIN agents_agentversion version ON version.id = run.version_id
WHERE call.tool = $1 AND NOT run.rehearsal ORDER BY call.created_at DESC LIMIT {LOOKED_AT}
"""  # noqa: S608 -- a number of ours

_known: dict[str, tuple[float, "Latest"]] = {}  # by tool, with when it was read


class Latest:
    """Of the latest calls of a tool, those that ran."""

    def __init__(self, tool: str) -> None:
        found = ask(LATEST, tool)
        self.is_whole = len(found) < LOOKED_AT
        self.ran = [
            (given, from_json(subject), simulated, agent)
            for arguments, status, subject, simulated, agent in found
            if status in RAN and isinstance(given := from_json(arguments), dict)
        ]


def past_of(stretch: Stretch, call: ToolCall) -> Past:
    """Of the latest calls of the same tool, those that ran: simulated ones only beside simulated ones."""
    run = stretch.run
    latest = _latest(call.tool)
    ran: list[tuple[dict[str, Any], Any, bool]] = [
        (arguments, subject, agent == run.version.agent_id)
        for arguments, subject, simulated, agent in latest.ran
        if simulated == run.simulated
    ]
    return Past(
        by_asker=[arguments for arguments, _, mine in ran if mine],
        for_subject=not run.subject or any(mine and subject == run.subject for _, subject, mine in ran),
        is_whole=latest.is_whole,
    )


def forget() -> None:
    """Read all anew when it is asked for next."""
    _known.clear()


def _latest(tool: str) -> Latest:
    now = time.monotonic()
    at, latest = _known.get(tool, (0.0, None))
    if latest is None or now - at > KNOWN_SECONDS:
        if len(_known) >= TOOLS:
            forget()
        latest = Latest(tool)
        _known[tool] = now, latest
    return latest
