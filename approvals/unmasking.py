"""The moment in which a planted test is told to be one: when it is decided, or its time is up."""

from datetime import datetime

from approvals.access import Actor
from approvals.models import Approval, Canary, CanaryResult
from traces.recorder import record

RESULTS = {
    "approve": CanaryResult.MISSED,
    "edit": CanaryResult.CHANGED,
    "reject": CanaryResult.CAUGHT,
    "escalate": CanaryResult.CAUGHT,
    "expire": CanaryResult.EXPIRED,
}
_TOLD = {
    CanaryResult.CAUGHT: "{who} caught it.",
    CanaryResult.CHANGED: "{who} changed it, and so looked.",
    CanaryResult.MISSED: "{who} let it through.",
    CanaryResult.EXPIRED: "Nobody decided it in time.",
}


def could_be_planted(approval: Approval) -> bool:
    """Whether nobody who could act on it asked: true of planted tests, and told without asking the database."""
    return approval.run_id is None and approval.call_id is None and approval.requested_by_id is None


def unmask(approval: Approval, word: str, *, actor: Actor | None, now: datetime) -> Canary | None:
    """Settle the test that this request is, where it is one, by what was said of it; in the caller's transaction.

    `word` is a verdict, escalate or expire.
    """
    if not could_be_planted(approval):
        return None
    canary = Canary.objects.filter(approval=approval, result=CanaryResult.WAITING).first()
    if canary is None:
        return None
    canary.result, canary.settled_at = RESULTS[word], now
    canary.user = actor.user if actor else None
    canary.save(update_fields=["result", "settled_at", "user"])
    record(
        f"canary.{canary.result}",
        actor=str(actor) if actor else "system",
        object_id=approval.pk,
        data={
            "approval": str(approval.pk),
            "tool": approval.tool,
            "agent": approval.agent,
            "said": word,
            "nonce": canary.nonce,
        },
    )
    return canary


def told(approval: Approval, *, to: Actor | None = None) -> str:
    """That it was a test, what was wrong, and what became of it; empty while it waits, and for real requests."""
    if not could_be_planted(approval):
        return ""
    settled = Canary.objects.filter(approval=approval).exclude(result=CanaryResult.WAITING)
    canary = settled.select_related("user").first()
    if canary is None:
        return ""
    who = canary.user.get_username() if canary.user else ""
    result = _TOLD[CanaryResult(canary.result)].format(who="You" if to and to.user == canary.user else who)
    return f"This was a test, planted by Gatehouse: there is no call that could have run. {canary.wrong} {result}"
