"""What a tool's own lookup says of a call whose outcome was lost; for the person who settles it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.utils import timezone

from agents.exceptions import BadConfig
from agents.models import ToolCall
from agents.runtime.reads import asking_context
from agents.tools.asking import NotMade
from agents.tools.calling import within
from agents.tools.registry import tools_of
from approvals.exceptions import Halted
from approvals.halts import require_running
from approvals.models import Approval
from traces.redaction import redact, redact_text
from traces.storable import storable

log = structlog.get_logger(__name__)

LOOKUP_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Found:
    """What came back, and when; `error` says in words why nothing did."""

    at: datetime
    declared: bool = True  # whether the tool has a lookup at all
    data: Any = None
    error: str = ""


def look_up(approval: Approval, *, seconds: float = LOOKUP_SECONDS, actor: str = "") -> Found:
    """Ask the tool whether the call of this request happened; it answers within `seconds`, with an error at worst.

    `actor`: who wants to know, as an event names them.
    """
    now = timezone.now()
    call = (
        ToolCall.objects.select_related("run__version__agent").filter(pk=approval.call_id).first()
        if approval.call_id
        else None
    )
    if call is None:
        return Found(now, declared=False)
    try:
        tool = tools_of(call.run.version.parsed).get(call.tool)
    except BadConfig as error:
        return Found(now, error=f"The agent's tools can't be loaded: {redact_text(str(error))}")
    if tool is None:
        return Found(now, error=f"The tool {call.tool} is gone, and its lookup with it.")
    lookup = tool.lookup
    if lookup is None:
        return Found(now, declared=False)
    if tool.suspended:
        return Found(now, error=f"The tool is suspended: {tool.suspended}")
    if not tool.look_up:  # its own code, which a stop of the tool holds, too
        try:
            require_running(approval.agent, tool=tool.name)
        except Halted as halt:
            return Found(now, error=f"It was not asked, while an emergency stop stands: {halt}")
    context = asking_context(call, agent=approval.agent, actor=actor)
    try:
        data = within(seconds, lambda: lookup(context, call.arguments), name=f"lookup of {tool.name}")
    except TimeoutError:
        return Found(now, error=f"It did not answer within {seconds:g} s.")
    except NotMade as error:
        return Found(now, error=f"It was not asked. {redact_text(str(error))}")
    except Exception as error:  # a tool's code may raise anything: the person is told, and decides
        log.warning("lookup.failed", tool=tool.name, error=error)
        return Found(now, error=f"It failed: {redact_text(str(error)) or type(error).__name__}")
    return Found(now, data=storable(redact(data)))
