"""Where a decision needs a second factor, and whether it was given. Only in a browser: a token can't give one."""

from datetime import datetime, timedelta

from django.conf import settings

from approvals.access import Actor
from approvals.exceptions import StepUpNeeded
from approvals.models import Approval, Kind, Terms
from approvals.stepup.factors import factor_of

RISKS = ("low", "medium", "high")


def needs_step_up(approval: Approval, terms: Terms) -> bool:
    """Whether approving this takes one: its rule says so, or its risk reaches the setting's. Unknown risk is high."""
    if approval.kind != Kind.ACTION:
        return False
    least: str = settings.STEP_UP_RISK
    risk = approval.risk if approval.risk in RISKS else "high"
    return terms.step_up or (bool(least) and RISKS.index(risk) >= RISKS.index(least))


def is_proven(actor: Actor, *, now: datetime) -> bool:
    """Whether this person gave their second factor a short while ago, in this browser."""
    if actor.via != "browser" or actor.proven_at is None:
        return False
    if now - actor.proven_at >= timedelta(seconds=settings.STEP_UP_SECONDS):
        return False
    factor = factor_of(actor.user)
    return factor is not None and factor.confirmed_at is not None and factor.confirmed_at <= actor.proven_at


def require_proven(actor: Actor, *, now: datetime, what: str = "Approving this") -> None:
    """Raise StepUpNeeded, saying what to do, unless the person's second factor was given a short while ago."""
    if actor.via != "browser":
        raise StepUpNeeded(
            f"{what} needs a second factor, which a token can't give: do it in the console, signed in."
        )
    if is_proven(actor, now=now):
        return
    if factor_of(actor.user) is None:
        raise StepUpNeeded(
            f"{what} needs a second factor, and you have none: set one up at {settings.BASE_URL}/me/second-factor."
        )
    raise StepUpNeeded(f"{what} needs your second factor: give the code that your authenticator shows.")


def require_step_up(actor: Actor, approval: Approval, terms: Terms, *, now: datetime) -> bool:
    """Whether this took a second factor, which the person gave. Raises StepUpNeeded where they didn't."""
    if not needs_step_up(approval, terms):
        return False
    require_proven(actor, now=now)
    return True
