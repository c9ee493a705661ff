"""A tool whose check, dry run, fingerprint and lookup each ask another tool, and the tools that they ask."""

from typing import Any

from agents.config.tools import ToolOptions
from agents.tools import NotFound, ToolContext, UnknownOutcome, tool
from agents.tools.options import with_options
from tests import tools


@tool(effect="read", untrusted=False)
def find_account(context: ToolContext, account: str) -> dict[str, Any]:
    """Find an account."""
    tools._enter("find_account")
    if account not in tools.BALANCES:
        raise NotFound(f"there is no account {account!r}; accounts: {', '.join(tools.BALANCES)}")
    return {"account": account}


@tool(effect="read", untrusted=False)
def quote(context: ToolContext, account: str) -> str:
    """Tell what settling would do."""
    tools._enter("quote")
    return f"Leaves nothing on {account}."


@tool(effect="read", untrusted=False)
def rate(context: ToolContext, account: str) -> dict[str, Any]:
    """Tell a rate."""
    tools._enter("rate")
    return {"rate": 1.5}


@tool(effect="read", untrusted=False)
def entry(context: ToolContext, idempotency_key: str) -> dict[str, Any]:
    """Tell whether there is an entry under a key."""
    tools._enter("entry")
    return {"happened": any(line == f"settle {idempotency_key}" for line in tools.effects())}


@tool(effect="irreversible", category="mutation")
def settle_account(context: ToolContext, account: str) -> None:
    """Settle an account, and lose the reply."""
    tools._enter("settle", context.idempotency_key)
    raise UnknownOutcome("the connection broke after the request was sent")


settle = with_options(
    settle_account,
    ToolOptions.model_validate(
        {
            "checks": {"account": {"exists": "find_account"}},
            "dry_run": "quote",
            "fingerprint": "rate",
            "lookup": "entry",
        }
    ),
)
