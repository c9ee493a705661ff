"""What a run did, in words and without a model: what was done, looked up, tried in vain, and is in doubt."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from agents.states import CallStatus

IN_VAIN = {
    CallStatus.FAILED: "failed",
    CallStatus.REFUSED: "refused",
    CallStatus.DENIED: "denied",
    CallStatus.EXPIRED: "expired",
    CallStatus.WITHDRAWN: "withdrawn",
    CallStatus.CANCELLED: "not done any more",
    # The account is given as the run ends, and what is open then is cancelled.
    CallStatus.PROPOSED: "not done any more",
    CallStatus.PENDING_APPROVAL: "not done any more",
    CallStatus.APPROVED: "not done any more",
}


class CallLike(Protocol):
    """What is needed of a tool call."""

    tool: str
    status: str
    effect: str


def account_of(calls: Sequence[CallLike]) -> str:
    """Some sentences; they name tools, never arguments or results."""
    done = [call.tool for call in calls if call.status == CallStatus.SUCCEEDED and call.effect != "read"]
    read = [call.tool for call in calls if call.status == CallStatus.SUCCEEDED and call.effect == "read"]
    settled = [call.tool for call in calls if call.status == CallStatus.RECONCILED]
    doubted = [call.tool for call in calls if call.status == CallStatus.UNKNOWN]
    vain = [f"{call.tool} ({IN_VAIN[CallStatus(call.status)]})" for call in calls if call.status in IN_VAIN]
    sentences = [f"Done: {_listed(done)}." if done else "No effect on the world was made."]
    if settled:
        sentences.append(f"Settled by a person: {_listed(settled)}.")
    if doubted:
        sentences.append(f"Nobody knows whether it was done: {_listed(doubted)}.")
    if read:
        sentences.append(f"Looked up: {_listed(read)}.")
    if vain:
        sentences.append(f"Tried in vain: {_listed(vain)}.")
    return " ".join(sentences)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(
        name if count == 1 else f"{name} {count} times" for name, count in Counter(names).items()
    )
