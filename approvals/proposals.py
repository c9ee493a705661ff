"""Grants that history suggests: what people kept approving, with an honest count of what it would have let through."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from approvals.exceptions import Missing
from approvals.eyes import terms_of
from approvals.grants import Offer
from approvals.models import Approval, Decision, Kind
from approvals.scopes import ANY, AT_MOST, EQUAL, ONE_OF, Scope, covers, in_words, is_number, same
from approvals.states import ApprovalStatus

WINDOW = timedelta(days=30)
LEAST = 10  # decisions, below which history says nothing
MOST = 5000  # decisions that are looked at
FEW = 5  # values that are worth listing
MOSTLY = 0.9  # of the approvals, which the tightest scope covers


@dataclass(frozen=True, slots=True)
class Proposal:
    """A scope, and what it would have let through."""

    agent: str
    tool: str
    scope: Scope
    decisions: int
    covered: int
    rejected: int  # among the covered
    latest: Approval

    @property
    def in_words(self) -> list[str]:
        return in_words(self.scope)

    @property
    def told(self) -> str:
        """Such as "would have covered 41 of 43, among them 2 that were rejected"."""
        among = (
            f", among them {self.rejected} that were rejected" if self.rejected else ", none of them rejected"
        )
        return f"would have covered {self.covered} of {self.decisions}{among}"


def proposals(*, now: datetime) -> list[Proposal]:
    """For each agent and tool with enough decisions, the tightest scope that covers most of what was approved."""
    decided: dict[tuple[str, str], list[Approval]] = defaultdict(list)
    rows = Decision.objects.filter(
        decided_at__gte=now - WINDOW,
        approval__kind=Kind.ACTION,
        approval__call_id__isnull=False,
    )
    for decision in rows.select_related("approval").order_by("-decided_at")[:MOST]:
        decided[decision.approval.agent, decision.approval.tool].append(decision.approval)
    found = [
        proposal_of(asked)
        for asked in decided.values()
        # What is held or takes a second factor is decided one by one: a grant would never be used.
        if len(asked) >= LEAST and not ((terms := terms_of(asked[0])).hold or terms.step_up)
    ]
    return sorted((each for each in found if each is not None), key=lambda each: -each.covered)


def proposal_of(asked: Sequence[Approval]) -> Proposal | None:
    """What these decisions about one tool, newest first, suggest; None where too little was approved."""
    approved = [each.arguments for each in asked if each.status == ApprovalStatus.APPROVED]
    rejected = [each.arguments for each in asked if each.status == ApprovalStatus.DENIED]
    scope = tightest(approved, rejected)
    if scope is None:
        return None
    let, caught = (sum(covers(scope, each) for each in group) for group in (approved, rejected))
    return Proposal(asked[0].agent, asked[0].tool, scope, len(asked), let + caught, caught, asked[0])


def tightest(
    approved: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]]
) -> dict[str, dict[str, Any]] | None:
    """The scope that covers most of `approved` and as few of `rejected` as may be; None below half of `LEAST`. Pure."""
    if len(approved) < LEAST / 2:
        return None
    names = sorted({name for arguments in approved for name in arguments})
    scope: dict[str, dict[str, Any]] = {}
    for name in names:
        given = [arguments[name] for arguments in approved if name in arguments]
        refused = [arguments[name] for arguments in rejected if name in arguments]
        scope[name] = _limit(given, refused) if len(given) == len(approved) else {"is": ANY}
    return scope


def propose(agent: str, tool: str, *, uses: int, seconds: float, now: datetime) -> Offer:
    """The proposal for this tool as an offer. One that covers a rejected call needs a second person. Raises Missing."""
    found = next((each for each in proposals(now=now) if (each.agent, each.tool) == (agent, tool)), None)
    if found is None:
        raise Missing(f"History suggests no grant for {tool} of {agent} any more.")
    latest = found.latest
    roles = tuple(terms_of(latest).roles)
    return Offer(
        agent=agent,
        tool=tool,
        tool_digest=latest.tool_digest,
        scope=found.scope,
        uses=uses,
        seconds=seconds,
        role=latest.role,
        approvers=max(latest.approvers, 2 if found.rejected else 1),
        roles=roles,
        reason="Proposed from history.",
        covered={"decisions": found.decisions, "covered": found.covered, "rejected": found.rejected},
    )


def _limit(given: list[Any], refused: list[Any]) -> dict[str, Any]:
    if all(is_number(value) and value >= 0 for value in given) and len(set(given)) > 1:
        ordered = sorted(given)
        least = int(len(ordered) * MOSTLY + 0.999) - 1
        numbers = [value for value in refused if is_number(value)]
        # Of the limits that cover most, the one that lets fewest of the rejected through; then the highest.
        best = min(set(ordered[least:]), key=lambda limit: (sum(value <= limit for value in numbers), -limit))
        return {"is": AT_MOST, "value": best}
    different: list[Any] = []
    for value in given:
        if not any(same(value, other) for other in different):
            different.append(value)
        if len(different) > FEW:
            return {"is": ANY}
    if len(different) == 1:
        return {"is": EQUAL, "value": different[0]}
    return {"is": ONE_OF, "value": different}
