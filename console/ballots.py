"""Who may do what with a request, and what they have said of it so far."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.conf import settings
from django.contrib.auth.models import User

from agents.masking import masks_of
from approvals.access import ADMIN, Actor, may_decide, require_may_decide
from approvals.exceptions import NotAllowed
from approvals.eyes import Needs, needs_of, terms_of
from approvals.models import Approval, Hold, Kind, Terms, Vote
from approvals.queries import standing_halts, standing_hold
from approvals.states import ApprovalStatus
from approvals.stepup.factors import factor_of
from approvals.stepup.gate import is_proven, needs_step_up
from approvals.unmasking import shown_as
from approvals.voting import still_missing, why_nobody


@dataclass(frozen=True)
class Ballot:
    """A request before one person, who may decide or may not."""

    approval: Approval
    actor: Actor
    now: datetime

    @property
    def is_pending(self) -> bool:
        return self.approval.status == ApprovalStatus.PENDING

    @property
    def is_over(self) -> bool:
        """Whether it waits no more although nobody decided: its time is up."""
        return self.approval.status == ApprovalStatus.EXPIRED or (
            self.is_pending and self.approval.expires_at <= self.now and not self.hold
        )

    @property
    def is_action(self) -> bool:
        return self.approval.kind == Kind.ACTION

    @cached_property
    def why_not(self) -> str:
        """Why this person may not decide; empty where they may."""
        if self.is_over:
            return f"This expired at {self.approval.expires_at:%Y-%m-%d %H:%M:%S} UTC: it will not run."
        try:
            require_may_decide(self.actor, self.approval)
        except NotAllowed as error:
            return str(error)
        if self.hold:
            return f"{self.hold.user.get_username()} approved this."
        if self.has_approved:
            return f"You approved this. Before it runs, {self.missing}."
        return ""

    @property
    def may_decide(self) -> bool:
        return self.is_pending and not self.why_not

    @property
    def may_escalate(self) -> bool:
        return self.may_decide and self.approval.role != ADMIN

    @cached_property
    def cast(self) -> list[Vote]:
        """What people said of the wording that stands now."""
        votes = Vote.objects.filter(approval=self.approval, revision=self.approval.revision)
        return list(votes.select_related("user").order_by("cast_at"))

    @property
    def votes(self) -> list[Vote]:
        """Who said yes to it."""
        return [vote for vote in self.cast if vote.approve]

    @property
    def denials(self) -> list[Vote]:
        """Who said no to it, where one no is not enough."""
        return [vote for vote in self.cast if not vote.approve]

    @cached_property
    def terms(self) -> Terms:
        """What the rule asks beside how many of which role."""
        return terms_of(self.approval)

    @cached_property
    def needs(self) -> Needs:
        """Who must say yes to the wording that stands now."""
        return needs_of(self.approval, self.terms)

    @cached_property
    def missing(self) -> str:
        """What is lacking still, in words; empty where nothing is."""
        return still_missing(self.approval)

    @property
    def stakes(self) -> list[str]:
        """Whose yes is not enough alone, and why."""
        if not self.needs.four_eyes or settings.SINGLE_OPERATOR:
            return []
        names = dict(User.objects.filter(pk__in=dict(self.needs.stakes)).values_list("pk", "username"))
        return [f"{names[user]} {why}" for user, why in self.needs.stakes if user in names]

    @cached_property
    def nobody(self) -> str:
        """Why nobody is left who could approve it; empty where somebody is."""
        return why_nobody(self.approval) if self.is_pending and not self.is_over and not self.hold else ""

    @cached_property
    def hold(self) -> Hold | None:
        """The approval that stands and can still be recalled."""
        return standing_hold(self.approval) if self.is_pending else None

    @property
    def may_recall(self) -> bool:
        """Whether this person can take that back."""
        return self.hold is not None and (
            self.approval.requested_by_id == self.actor.user.pk or may_decide(self.actor, self.approval)
        )

    @property
    def takes_step_up(self) -> bool:
        """Whether who approves it gives a second factor."""
        return needs_step_up(self.approval, self.terms)

    @cached_property
    def step_up(self) -> str:
        """What approving it takes beside a yes: `code`, or `enrol` where the person has no second factor; else empty."""
        if not self.may_decide or not self.takes_step_up:
            return ""
        return _lacking_proof(self.actor, self.now)

    @cached_property
    def grant_step_up(self) -> str:
        """The same of making a grant."""
        return _lacking_proof(self.actor, self.now) if settings.STEP_UP_RISK else ""

    @property
    def may_grant(self) -> bool:
        """Whether calls like this one can be allowed from here."""
        return (
            self.may_decide
            and self.is_action
            and shown_as(self.approval).call_id is not None
            and not self.terms.hold
            and not self.terms.step_up
            and not self.masks
        )

    @property
    def has_approved(self) -> bool:
        return any(vote.user_id == self.actor.user.pk for vote in self.votes)

    @cached_property
    def stopped(self) -> str:
        """Which agents an emergency stop holds that also holds this; empty where none does."""
        tools = {"", self.approval.tool}
        names = {halt.agent for halt in standing_halts() if halt.tool in tools} & {"", self.approval.agent}
        if not names:
            return ""
        return "All agents are" if "" in names else f"{self.approval.agent} is"

    @property
    def may_reopen(self) -> bool:
        return may_decide(self.actor, self.approval)

    @property
    def masks(self) -> list[str]:
        """The rules that keep some of its arguments from this person."""
        return [str(rule) for rule in masks_of(self.approval)]

    @property
    def may_edit(self) -> bool:
        """Whether this person may word it anew: who sees all of it."""
        return self.may_decide and not self.masks


def _lacking_proof(actor: Actor, now: datetime) -> str:
    if is_proven(actor, now=now):
        return ""
    return "code" if factor_of(actor.user) else "enrol"
