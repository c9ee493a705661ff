"""Tools for tests that lose their replies, with lookups that tell whether a call happened."""

import threading
from typing import Any

from agents.tools import ToolContext, ToolFailure, UnknownOutcome, tool
from tests import tools
from tests.optioned import as_stated

NEVER = threading.Event()


def find_entry(context: ToolContext, account: str) -> dict[str, Any]:
    """The lines of the ledger under the call's key; for an account of odd names it fails, or never answers."""
    if account == "broken":
        raise ToolFailure("the bank is closed, key sk-proj-abcdefghijklmnop0123")
    if account == "slow":
        NEVER.wait(20)
    found = [line for line in tools.effects() if context.idempotency_key in line]
    return {"account": account, "found": len(found), "memo": "<b>paid</b>\u202e"}


@tool(category="mutation", effect="irreversible", lookup=find_entry)
def send_blind(context: ToolContext, account: str) -> None:
    """Send something and lose the reply."""
    tools._enter("send_blind", context.idempotency_key, account)
    raise UnknownOutcome("the connection broke after the request was sent")


@tool(effect="read", untrusted=False)
def entry_under(context: ToolContext, idempotency_key: str, account: str = "") -> dict[str, Any]:
    """Tell whether there is an entry under a key."""
    found = any(idempotency_key in line for line in tools.effects())
    return {"happened": found, "key": idempotency_key, "account": account}


post_blind = as_stated(send_blind, "post_blind", lookup="entry_under")
