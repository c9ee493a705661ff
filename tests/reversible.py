"""Tools for tests whose calls can be taken back."""

from typing import Any

from agents.tools import ToolContext, ToolFailure, tool
from tests.tools import effects, ledger


def _enter(*words: Any) -> None:
    with ledger().open("a") as file:
        file.write(" ".join(str(word) for word in words) + "\n")


def fail_to_cancel(seat: str) -> None:
    """Let the cancelling of one seat fail from now on."""
    ledger().with_name(f"{seat}.stuck").touch()


def done() -> list[str]:
    """What was done, in order, without keys."""
    return [line.split(" ", 2)[0] + " " + line.split(" ", 2)[2] for line in effects()]


@tool(
    category="mutation",
    effect="reversible",
    untrusted=False,
    title="Book seat {seat}",
    undo=("cancel_seat", {"booking": "result.booking.id", "why": "taken back", "guest": "arguments.guest"}),
)
def book_seat(context: ToolContext, seat: str, guest: str = "") -> dict[str, Any]:
    """Book a seat."""
    _enter("book", context.idempotency_key, seat)
    return {"booking": {"id": f"B-{seat}"}}


@tool(category="mutation", effect="reversible", untrusted=False, title="Cancel booking {booking}")
def cancel_seat(context: ToolContext, booking: str, why: str, guest: str = "nobody") -> str:
    """Cancel a booking."""
    if ledger().with_name(f"{booking.removeprefix('B-')}.stuck").exists():
        raise ToolFailure("the counter is closed")
    _enter("cancel", context.idempotency_key, booking, why, guest)
    return "cancelled"
