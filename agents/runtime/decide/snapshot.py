"""What a decision is made from: a run as it is stored, and what limits it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


class StepLike(Protocol):
    """What the decision needs of a step."""

    kind: str
    payload: Any


class CallLike(Protocol):
    """What the decision needs of a tool call."""

    pk: UUID
    status: str
    claim_fence: int | None
    approval_id: UUID | None
    result: Any

    @property
    def may_have_happened(self) -> bool:
        """Whether it was tried, with no word of what came of it."""


class ChildLike(Protocol):
    """What the decision needs of a run that this one started."""

    status: str
    requested: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it is stored, and what limits it."""

    pattern: str
    steps: Sequence[StepLike]  # in order; without those that only change what a model is shown
    calls: Sequence[CallLike]  # of all steps, in order
    fence: int  # of the present claim
    settled: Collection[UUID] = ()  # calls about which a person, or time, has decided
    later: Collection[UUID] = ()  # approved calls that are tried again, and not yet due
    question: str = ""  # status of the request about the latest plan; empty: not asked yet
    children: Sequence[ChildLike] = ()  # runs that it started
    links: int = 0  # of its chain
    fast_path: bool = False  # what is simple may skip the plan
    approve_plan: bool = False  # a person approves each plan
    steered: bool = False  # a person wants something done about the plan
    success: bool = False  # the answer must have a form that the task gives
    requested: str = ""  # cancel, pause
    halted: str = ""  # why, where an emergency stop stands
    broken: str = ""  # why the run can't go on at all
    turns: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    work_seconds: float = 0.0
    max_turns: int = 25
    max_tokens: int = 50_000
    max_cost_usd: float = 2.0
    max_seconds: float = 120.0
    confidence_min: float = 0.6
    recall_due: bool = False  # what is remembered was not looked up yet
    answered_before: str = ""  # why the run is over, where its question was answered before
    given_answer: str = ""  # then: the answer
    loop: str = ""  # how the run goes in circles, where it does
    findings: Sequence[str] = ()  # what its latest answer states and nothing that was read bears out
    overfull: bool = False  # the executor's next prompt fills too much of the window

    @property
    def left(self) -> float:
        """The share of its tightest budget that is left, 0 to 1."""
        used = (
            self.turns / self.max_turns if self.max_turns else 1.0,
            self.tokens / self.max_tokens if self.max_tokens else 1.0,
            self.cost_usd / self.max_cost_usd if self.max_cost_usd else 1.0,
            self.work_seconds / self.max_seconds if self.max_seconds else 1.0,
        )
        return max(0.0, 1.0 - max(used))
