"""Lookups that serve again for a while: to the same agent, for the same subject, as long as the tool says."""

from dataclasses import replace
from datetime import datetime, timedelta

from django.utils import timezone

from agents.models import ToolCall
from agents.runtime.performing import Attempt
from agents.runtime.stretch import Stretch
from agents.states import CallStatus
from agents.tools.spec import Tool
from approvals.digest import digest_of


def cache_key(stretch: Stretch, call: ToolCall, tool: Tool) -> str:
    """What two calls must share for one's data to serve the other."""
    return digest_of(
        {
            "tool": tool.name,
            "tool_digest": tool.digest,
            "arguments": call.arguments,
            "subject": stretch.run.subject,
            "agent": stretch.agent,
        }
    )


def held(stretch: Stretch, call: ToolCall, tool: Tool) -> Attempt | None:
    """What an earlier call with the same question returned, if it is young enough; its age goes with it."""
    if not tool.cache_seconds:
        return None
    youngest = ToolCall.objects.filter(
        cache_key=cache_key(stretch, call, tool),
        fetched_at__gt=timezone.now() - timedelta(seconds=tool.cache_seconds),
        status=CallStatus.SUCCEEDED,
        stored_result=None,  # a large one belongs to its run
    )
    found = youngest.order_by("-fetched_at").values_list("result", "fetched_at").first()
    if found is None:
        return None
    result, fetched_at = found
    return Attempt(CallStatus.SUCCEEDED, {**(result or {}), "cached": True}, fetched_at=fetched_at)


def stamped(tool: Tool, attempt: Attempt, *, fetched_at: datetime) -> Attempt:
    """The attempt with the time of its data, where that matters to the tool."""
    if attempt.status != CallStatus.SUCCEEDED or not (tool.cache_seconds or tool.fresh_seconds):
        return attempt
    result = {**attempt.result, "fetched_at": f"{fetched_at:%Y-%m-%dT%H:%M:%SZ}"}
    return replace(attempt, result=result, fetched_at=fetched_at)
