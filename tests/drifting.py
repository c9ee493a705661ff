"""A tool whose effect rests on a rate that others change."""

from typing import Any

from agents.tools import ToolContext, tool
from tests.tools import _enter

RATES = {"acme": 1.5}


def rate_of(context: ToolContext, account: str) -> dict[str, Any]:
    """What a conversion rests on."""
    return {"rate": RATES[account]}


@tool(category="lookup", effect="read", untrusted=False)
def get_rate(context: ToolContext, account: str) -> dict[str, Any]:
    """Tell the rate of an account."""
    return {"rate": RATES[account]}


@tool(category="mutation", untrusted=False, fingerprint=rate_of)
def convert(context: ToolContext, account: str) -> dict[str, Any]:
    """Convert all money of an account at its rate."""
    _enter("convert", context.idempotency_key, account)
    return {"rate": RATES[account]}


@tool(category="lookup", effect="read", untrusted=False, fingerprint=rate_of)
def quote_rate(context: ToolContext, account: str) -> dict[str, Any]:
    """Tell the rate of an account, which others may change before a person has looked."""
    return {"rate": RATES[account]}
