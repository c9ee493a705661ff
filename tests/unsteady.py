"""Tools for tests that fail, get old or are called too often: how they behave stands in files beside the ledger."""

from typing import Any

from agents.tools import ToolContext, ToolFailure, UnknownOutcome, tool
from tests.tools import effects, ledger


def write(name: str, text: str) -> None:
    """Let the tools find `text` under `name`."""
    ledger().with_name(name).write_text(text)


def read(name: str, default: str) -> str:
    """What is written under `name`."""
    path = ledger().with_name(name)
    return path.read_text() if path.exists() else default


def calls_of(name: str) -> list[str]:
    """The lines of the ledger that this tool wrote."""
    return [line for line in effects() if line.startswith(f"{name} ")]


def _enter(*words: Any) -> None:
    with ledger().open("a") as file:
        file.write(" ".join(str(word) for word in words) + "\n")


def _fail_while_told(name: str) -> None:
    left = int(read(f"{name}.failures", "0"))
    if left:
        write(f"{name}.failures", str(left - 1))
        raise ToolFailure("the server is busy", retryable=True)


@tool(category="lookup", effect="read", untrusted=False, fallback="get_spare")
def get_stock(context: ToolContext, item: str) -> str:
    """Tell how many there are, unless the server is busy."""
    _enter("get_stock", context.idempotency_key)
    _fail_while_told("get_stock")
    return "12"


@tool(category="lookup", effect="read", untrusted=False, retries=0)
def get_spare(context: ToolContext, item: str) -> str:
    """Tell the same from elsewhere, or not at all."""
    _enter("get_spare", context.idempotency_key)
    _fail_while_told("get_spare")
    return "11"


@tool(category="lookup", effect="read", untrusted=False, rate_limit=2)
def get_weather(context: ToolContext) -> str:
    """Tell the weather, twice a minute."""
    _enter("get_weather", context.idempotency_key)
    return "rain"


@tool(category="lookup", effect="read", untrusted=False, cache_seconds=60)
def get_rate(context: ToolContext, currency: str) -> dict[str, str]:
    """Tell an exchange rate; good for a minute."""
    _enter("get_rate", context.idempotency_key)
    return {"currency": currency, "rate": read("rate", "1.10")}


@tool(category="lookup", effect="read", untrusted=False, fresh_seconds=30)
def get_price(context: ToolContext, item: str) -> dict[str, Any]:
    """Tell a price; it may have changed after half a minute."""
    _enter("get_price", context.idempotency_key)
    _fail_while_told("get_price")
    return {"item": item, "price": int(read("price", "10")), "text": "x" * int(read("price.length", "0"))}


@tool(category="mutation", effect="irreversible", untrusted=False, title="Buy {item}")
def buy(context: ToolContext, item: str) -> str:
    """Buy something."""
    _enter("buy", context.idempotency_key)
    _fail_while_told("buy")
    return "bought"


@tool(category="mutation", effect="reversible", idempotent=True, untrusted=False)
def reserve(context: ToolContext, item: str) -> str:
    """Reserve something; the same key reserves it once."""
    _enter("reserve", context.idempotency_key)
    if read("reserve.answer", "") == "lost":
        write("reserve.answer", "")
        raise UnknownOutcome("the connection broke")
    _fail_while_told("reserve")
    return "reserved"
