"""Tools for journeys: what they rest on and what they do are files in the home of the installation."""

import os
from pathlib import Path
from typing import Any

from agents.tools import ToolContext, tool


def rate_file() -> Path:
    """Where the rate of a conversion stands."""
    return Path(os.environ["GATEHOUSE_HOME"]) / "rate"


def rate_of(context: ToolContext, account: str) -> dict[str, Any]:
    """What a conversion rests on."""
    return {"rate": rate_file().read_text()}


@tool(category="mutation", effect="irreversible", untrusted=False, fingerprint=rate_of)
def convert(context: ToolContext, account: str) -> dict[str, Any]:
    """Convert all money of an account at its rate."""
    return {"converted_at": rate_file().read_text()}


@tool(category="mutation", effect="irreversible", untrusted=False, title="Pay {amount} to {account}")
def pay(context: ToolContext, account: str, amount: float) -> dict[str, Any]:
    """Pay an amount to an account."""
    return {"paid": amount}
