"""What a program is answered: the tool's own result, or in words what happened instead."""

import json
from typing import Any

from django.conf import settings
from mcp_types import CallToolResult, TextContent

from agents.models import Run, ToolCall
from agents.states import CallStatus
from approvals.models import Approval

RUN, STATUS = "gatehouse/run", "gatehouse/status"  # keys of `_meta`
HAPPENED = (CallStatus.SUCCEEDED, CallStatus.RECONCILED)


def answer(run: Run, call: ToolCall) -> CallToolResult:
    """The end of a call: its data where it was done, else why it was not."""
    result = call.result or {}
    meta = {RUN: str(run.pk), STATUS: call.status, "gatehouse/url": f"{settings.BASE_URL}/runs/{run.pk}"}
    if call.status in HAPPENED and "data" in result:
        data = result["data"]
        content = [_text(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))]
        if result.get("edited"):
            content.append(_text(f"Note: {result['edited']} The result is that of the changed call."))
        structured = data if isinstance(data, dict) else None
        return CallToolResult(content=content, structured_content=structured, meta=meta)
    message = str(result.get("message") or run.reason)
    told = {"status": call.status, "message": message, "run_id": str(run.pk)}
    return CallToolResult(
        content=[_text(message)],
        structured_content=told,
        is_error=call.status not in HAPPENED,
        meta=meta,
    )


def pending(run: Run, call: ToolCall) -> CallToolResult:
    """A call that nobody has decided yet, or that waits for its tool: nothing is lost by going away."""
    told: dict[str, Any] = {"status": "pending", "run_id": str(run.pk), "message": run.reason}
    if call.approval is not None and call.status == CallStatus.PENDING_APPROVAL:
        told |= about_approval(call.approval)
        told["message"] = (
            f"Not done yet: a person must decide. Ask get_approval with approval_id {call.approval_id} later; "
            "don't repeat the call."
        )
    else:
        told["message"] = (
            f"Not done yet: {run.reason or 'it is being worked on.'} Ask get_run with run_id {run.pk} later."
        )
    return CallToolResult(
        content=[_text(told["message"])],
        structured_content=told,
        meta={RUN: str(run.pk), STATUS: call.status},
    )


def about_approval(approval: Approval) -> dict[str, Any]:
    """Where a request stands."""
    return {
        "approval_id": str(approval.pk),
        "approval_status": approval.status,
        "url": f"{settings.BASE_URL}/inbox/{approval.pk}",
        "expires_at": approval.expires_at.isoformat(),
    }


def told(values: dict[str, Any]) -> CallToolResult:
    """What one of the gateway's own tools says."""
    return CallToolResult(content=[_text(json.dumps(values, ensure_ascii=False))], structured_content=values)


def refused(message: str) -> CallToolResult:
    """Nothing happened, and why."""
    return CallToolResult(
        content=[_text(message)], structured_content={"status": "refused", "message": message}, is_error=True
    )


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)
