"""Before a call is claimed: can its tool be called now? Decided first, so that no call half-runs."""

import math
from datetime import timedelta

from django.utils import timezone

from agents.models import ToolCall
from agents.runtime.granted import free_place
from agents.runtime.journal import entry, move_call
from agents.runtime.performing import Attempt
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from agents.tools.breaker import REST_SECONDS, breakers
from agents.tools.limiting import seconds_until_free
from agents.tools.results import ResultType
from agents.tools.spec import Effect, Tool
from traces.recorder import record

RETRY_PAUSES = (0.5, 1, 2, 4)  # s


def admit(stretch: Stretch, call: ToolCall, tool: Tool) -> bool:
    """Whether the tool can be called now; if not, what becomes of the call is stored.

    A call that a person approved, or that may have happened, is put off. Any other goes back to the agent at once,
    with what it can do instead.
    """
    now = timezone.now()
    if since := breakers.unavailable_since(tool):
        delay, trouble = REST_SECONDS, f"{tool.name} is unavailable since {since:%H:%M:%S} UTC"
    elif wait := seconds_until_free(tool):
        delay = math.ceil(wait)
        trouble = (
            f"{tool.name} was called {tool.rate_limit} times within a minute, and may be again in {delay} s"
        )
    else:
        return True
    if call.approval_id is not None or call.may_have_happened:
        put_off(stretch, call, trouble, seconds=delay)
        return False
    with entry(stretch.run, "unavailable", now=now, work_ms=stretch.lap()):
        free_place(call, now)
        instead = f", try {tool.fallback}" if tool.fallback in stretch.tools else ""
        result = {"type": ResultType.ERROR, "message": f"{trouble}{instead}.", "retryable": True}
        status = CallStatus.FAILED if call.attempts else CallStatus.REFUSED
        move_call(call, status, result=result, error=trouble, ended_at=now)
        _tell(stretch, call, call.status, trouble)
    return False


def put_off(stretch: Stretch, call: ToolCall, trouble: str, *, seconds: float) -> None:
    """Have an approved call tried again later."""
    now = timezone.now()
    with entry(stretch.run, "unavailable", now=now, work_ms=stretch.lap()):
        move_call(call, CallStatus.APPROVED, retry_at=now + timedelta(seconds=seconds), error=trouble)
        _tell(stretch, call, "postponed", trouble)


def _tell(stretch: Stretch, call: ToolCall, what: str, why: str) -> None:
    record(
        f"tool_call.{what}",
        actor=stretch.actor,
        object_id=call.pk,
        run_id=stretch.run.pk,
        data={"tool": call.tool, "why": why},
    )


def note(tool: Tool, attempt: Attempt) -> None:
    """Tell the tool's breaker how a call went."""
    if tool.stands_in:
        return  # what was told before says nothing of how the tool does now
    failed = attempt.status == CallStatus.UNKNOWN or bool(attempt.result.get("retryable"))
    breakers.note(tool, failed=failed)


def may_retry(stretch: Stretch, call: ToolCall, tool: Tool, attempt: Attempt) -> bool:
    """Whether a call that failed is tried again, with the same key: the same may work later, and harms nobody."""
    retries = stretch.config.limits.tool_retries if tool.retries is None else tool.retries
    harmless = tool.effect == Effect.READ or tool.idempotent
    retryable = attempt.status == CallStatus.FAILED and bool(attempt.result.get("retryable"))
    return retryable and harmless and call.attempts <= retries


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    return timedelta(seconds=RETRY_PAUSES[min(attempts, len(RETRY_PAUSES)) - 1])
