"""What a call is to the gate: the action that the policy judges, and the digest that an approval is bound to."""

from typing import Any

from django.utils import timezone

from agents.models import AgentVersion, Run, ToolCall
from agents.tools.spec import Tool, ToolContext
from approvals.digest import action_digest, digest_of
from approvals.policy import Action


def as_action(run: Run, tool: Tool, arguments: dict[str, Any], *, tainted: bool) -> Action:
    """The call as the policy sees it."""
    return Action(
        tool=tool.name,
        effect=tool.effect,
        arguments=arguments,
        category=tool.category,
        egress=tool.egress,
        agent=run.version.agent.name,
        subject=run.subject,
        tainted=tainted,
        now=timezone.now(),
    )


def call_digest(run: Run, tool: Tool, arguments: dict[str, Any]) -> str:
    """The digest of this tool as it is now, with these arguments, for this run. Raises approvals' Invalid."""
    return action_digest(
        tool=tool.name,
        tool_digest=tool.digest,
        arguments=arguments,
        subject=run.subject,
        policy_digest=policy_digest(run.version),
    )


def policy_digest(version: AgentVersion) -> str:
    """Which policy judged."""
    if not hasattr(version, "_policy_digest"):  # a version never changes
        version._policy_digest = digest_of(version.config.get("policy", []))  # type: ignore[attr-defined]
    return str(version._policy_digest)  # type: ignore[attr-defined]


def tool_context(call: ToolCall, *, agent: str) -> ToolContext:
    """What a tool is told of the call."""
    return ToolContext(
        run_id=str(call.run_id),
        call_id=str(call.pk),
        idempotency_key=call.idempotency_key,
        subject=call.run.subject,
        agent=agent,
        now=timezone.now(),
    )
