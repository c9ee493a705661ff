"""The tools of the bench's agent: trivial, so that what is measured is the engine."""

from typing import Any

from agents.tools import ToolContext, tool
from tests.bench import ledger, work


@tool(category="mutation", effect="reversible", idempotent=True, untrusted=False, title="Note {number}")
def note(context: ToolContext, number: int) -> dict[str, Any]:
    """Note that an order was read; the same key twice has one effect."""
    ledger.enter("note", run=context.run_id, number=number, key=context.idempotency_key)
    return work.result(number)


@tool(category="lookup", effect="read", untrusted=False)
def look(context: ToolContext, number: int) -> dict[str, Any]:
    """Look something up."""
    return work.result(number)


@tool(category="mutation", effect="irreversible", untrusted=False, title="Act, after {number} calls")
def act(context: ToolContext, number: int) -> dict[str, Any]:
    """Do what nobody can take back."""
    ledger.enter("act", run=context.run_id, number=number, key=context.idempotency_key)
    return work.result(number)
