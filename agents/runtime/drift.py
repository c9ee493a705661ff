"""Before an approved effect is claimed: what it rests on, as its tool tells it, must be what it was when it was asked.

A tool declares a `fingerprint`: a value, read without any effect, that is another when the call would do another
thing. It is taken when people are asked and again just before the claim. Where the two differ, or it can't be read
again, the same people are asked anew with the difference before them.
"""

import json
from typing import Any

import structlog

from agents.models import ToolCall
from agents.runtime.journal import give_back_connection
from agents.runtime.reads import asking_context
from agents.tools.asking import NotMade
from agents.tools.calling import within
from agents.tools.spec import Tool, ToolContext
from approvals.eyes import terms_of
from approvals.models import Approval
from traces.redaction import redact, redact_text
from traces.storable import storable

log = structlog.get_logger(__name__)

SECONDS = 10
SHOWN = 200  # characters of a value in a sentence


def fingerprint(
    tool: Tool, context: ToolContext, arguments: dict[str, Any], *, patient: bool = False
) -> dict[str, Any] | None:
    """What the call rests on now: {"value": ...}, or {"error": ...} where it can't be read; None where the tool tells nothing.

    Where `patient`, raises NotMade for what can be read later.
    """
    if tool.fingerprint is None:
        return None
    read = tool.fingerprint
    try:
        value = within(SECONDS, lambda: read(context, arguments), name=f"fingerprint of {tool.name}")
        return {"value": storable(redact(json.loads(json.dumps(value, default=str))))}
    except Exception as error:  # a tool's code may raise anything: the person is told
        if patient and isinstance(error, NotMade) and error.passes:
            raise
        log.warning("fingerprint.failed", tool=tool.name, error=error)
        return {"error": redact_text(str(error))[:SHOWN]}


def drift(call: ToolCall, tool: Tool, *, agent: str) -> str:
    """What changed since people approved the call, in words; empty where nothing did, or nobody had to approve it.

    Raises NotMade where that can be told later.
    """
    if tool.fingerprint is None or call.approval_id is None or call.may_have_happened:
        return ""
    approval = Approval.objects.get(pk=call.approval_id)
    before = terms_of(approval).fingerprint
    give_back_connection()
    now = fingerprint(tool, asking_context(call, agent=agent), call.arguments, patient=True)
    if now is None or (before == now and "error" not in now):
        return ""
    if "error" in now:
        return f"{tool.name} can't tell any more what it rests on: {now['error'].rstrip('.')}."
    if before is None or "error" in before:
        return f"{tool.name} rests on {_short(now['value'])} now{_earlier(before)}."
    return f"{_difference(before['value'], now['value'])}."


def _difference(before: Any, now: Any) -> str:
    """By name where both are objects."""
    if isinstance(before, dict) and isinstance(now, dict):
        return "; ".join(
            f"{name} was {_short(before.get(name))} and is {_short(now.get(name))} now"
            for name in sorted(before.keys() | now.keys())
            if before.get(name) != now.get(name)
        )
    return f"It was {_short(before)} and is {_short(now)} now"


def _earlier(before: dict[str, Any] | None) -> str:
    if before is None:
        return ", and nothing was known before"
    return f", and was {_short(before['value'])}" if "value" in before else ", and could not be read before"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
