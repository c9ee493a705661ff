"""Requests of agents that run elsewhere: another program asks, people decide here, the program acts."""

from datetime import datetime
from typing import Any

from approvals.access import OPERATOR, Actor
from approvals.denials import in_words, standing_denial
from approvals.digest import action_digest
from approvals.exceptions import DeniedBefore
from approvals.eyes import Needs, four_eyes, terms
from approvals.models import Approval, Kind
from approvals.requests import Request, request_approval
from approvals.risk import LOOKED_AT, Past, assess
from approvals.states import ApprovalStatus

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def ask_for_program(
    *,
    actor: Actor,
    tool: str,
    arguments: dict[str, Any],
    effect: str,
    reason: str = "",
    context: dict[str, Any] | None = None,
    expires_in: float,
    callback_url: str = "",
    now: datetime,
) -> Approval:
    """Put another program's action to one operator. `expires_in` is in s.

    Raises Invalid, and DeniedBefore where a person denied it the same a short while ago.

    `callback_url` is told what becomes of it; the caller has seen that it may be.

    What it sends is content of an outsider: shown as such, and it never decides who is asked.
    """
    asker = actor.user.get_username()
    digest = action_digest(tool=tool, tool_digest="", arguments=arguments, subject={}, policy_digest="")
    if denial := standing_denial(agent="", digest=digest, now=now, asked_by=actor.user):
        raise DeniedBefore(in_words(denial), approval=str(denial.pk))
    # What its agent had read is not known, so that it says nothing of the risk.
    risk = assess(effect=effect, arguments=arguments, past=_past_of(actor, tool))
    evidence = {"tool": asker, "call_id": "", "arguments": {}, "result": context, "untrusted": True}
    return request_approval(
        Request(
            kind=Kind.ACTION,
            title=f"Let {asker} call {tool}",
            tool=tool,
            arguments=arguments,
            digest=digest,
            parameters=schema_of(arguments),
            effect=effect,
            risk=risk.level,
            tainted=True,
            taint_sources=[asker],
            rule=f"{asker} asks for approval",
            reason=reason,
            context={
                "task": "",
                "evidence": [evidence] if context else [],
                "risk": list(risk.reasons),
            },
            requested_by=actor.user,
            expires_in=expires_in,
            callback_url=callback_url,
            terms=terms(
                Needs(1, OPERATOR, four_eyes=four_eyes(Kind.ACTION, effect, risk.level)),
                denials=1,
                hold=0,
                stakes=[],
                asker=actor.user.pk,
            ),
        ),
        actor=str(actor),
        now=now,
    )


def schema_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """What an edit may do to arguments whose tool we don't know: other values of the same kind, no other names."""
    return {
        "type": "object",
        "properties": {
            name: {} if value is None else {"type": _TYPES[type(value)]} for name, value in arguments.items()
        },
        "required": list(arguments),
        "additionalProperties": False,
    }


def _past_of(actor: Actor, tool: str) -> Past:
    """What people approved of the latest requests, where it was this program's and of this tool."""
    latest = Approval.objects.order_by("-requested_at", "-id").values_list(
        "tool", "requested_by_id", "status", "arguments"
    )
    rows = list(latest[:LOOKED_AT])
    mine = [
        arguments
        for name, asker, status, arguments in rows
        if (name, asker, status) == (tool, actor.user.pk, ApprovalStatus.APPROVED)
    ]
    return Past(by_asker=mine, is_whole=len(rows) < LOOKED_AT)
