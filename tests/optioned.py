"""Tools for tests as an agent's file would treat them: with options that any kind of tool takes."""

import threading
from dataclasses import replace
from typing import Any

from agents.config.tools import ToolOptions
from agents.tools import Tool, ToolContext, ToolFailure, tool
from agents.tools.options import with_options
from tests import tools, unsteady

NEVER = threading.Event()


@tool(effect="read", untrusted=False)
def quote_payment(context: ToolContext, account: str, amount: float) -> dict[str, Any]:
    """Tell what a payment would do, and change nothing."""
    if amount > 1000:
        raise ToolFailure("the bank quotes nothing above 1000")
    return {
        "summary": f"Leaves {tools.BALANCES[account] - amount:.2f} EUR.",
        "fee": 0.35,
        "bank": {"open": True},
    }


@tool(effect="read", untrusted=False)
def wait_for_ever(context: ToolContext) -> None:
    """Never answer."""
    NEVER.wait(20)


def as_stated(source: Tool, name: str, **options: Any) -> Tool:
    """The tool under another name, with options as in an agent's file."""
    bare = replace(source, name=name, source=f"test:{name}", title=None, check=None, preview=None)
    return with_options(bare, ToolOptions.model_validate(options))


def whole_euros(context: ToolContext, arguments: dict[str, Any]) -> None:
    """The amount must be whole."""
    if arguments["amount"] % 1:
        raise ValueError("pay whole euros, such as 4")


transfer = as_stated(
    tools.pay,
    "transfer",
    title="Transfer {amount:.2f} EUR to {account}",
    checks={"account": {"exists": "get_balance"}, "amount": {"minimum": 1, "maximum": 5000}},
    check="tests.optioned.whole_euros",
    dry_run="quote_payment",
    permission="payments",
    when_to_use="When something is owed.",
    when_not_to_use="For refunds.",
)
hasty = as_stated(wait_for_ever, "hasty", timeout=0.05, retries=0)
rare = as_stated(unsteady.get_spare, "rare", rate_limit=1, fallback="often")
often = as_stated(unsteady.get_spare, "often", retries=1)
kept = as_stated(unsteady.get_spare, "kept", cache="1m")
