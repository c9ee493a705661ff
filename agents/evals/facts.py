"""What a run came to, as a case is judged by it."""

from dataclasses import replace

from agents.batch_progress import cost_of
from agents.evals.assertions import Facts, Made
from agents.models import Run, ToolCall
from agents.rulebook import granted
from agents.runtime.binding import as_action
from agents.states import CallStatus
from agents.tools.spec import Tool
from approvals.policy import Outcome, evaluate

REFUSED = frozenset({CallStatus.PROPOSED, CallStatus.REFUSED, CallStatus.DENIED, CallStatus.CANCELLED})


def facts_of(run: Run) -> Facts:
    """The run with its calls.

    A rehearsal asks nobody and refuses nothing by its policy or for want of a right, so what would be refused is
    judged here, for each call as it was proposed.
    """
    tools = granted(run.version.parsed)
    rows = ToolCall.objects.filter(run=run).order_by("step__seq", "index")
    return Facts(
        status=run.status,
        reason=run.reason,
        output=run.output,
        turns=run.turns,
        cost_usd=cost_of([run.pk]),
        calls=tuple(_made(run, call, tools.get(call.tool)) for call in rows),
    )


def _made(run: Run, call: ToolCall, tool: Tool | None) -> Made:
    refused, asks = call.status in REFUSED, False
    if tool is not None and isinstance(call.proposed_arguments, dict):
        action = as_action(run, tool, call.proposed_arguments, tainted=call.tainted)
        outcome = evaluate(replace(action, now=call.created_at), run.version.parsed.rules()).outcome
        rights = run.subject.get("permissions")
        lacking = bool(tool.permission) and not (isinstance(rights, list) and tool.permission in rights)
        refused, asks = refused or lacking or outcome is Outcome.DENY, outcome is Outcome.REQUIRE
    return Made(call.tool, call.proposed_arguments, refused=refused, asks=asks)
