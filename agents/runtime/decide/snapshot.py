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

    @property
    def may_have_happened(self) -> bool:
        """Whether it was tried, with no word of what came of it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as it is stored, and what limits it."""

    pattern: str
    steps: Sequence[StepLike]  # in order; without those that only change what a model is shown
    calls: Sequence[CallLike]  # of all steps, in order
    fence: int  # of the present claim
    settled: Collection[UUID] = ()  # calls about which a person, or time, has decided
    question: str = ""  # status of the request that asks what the latest plan asks; empty: not asked yet
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
    overfull: bool = False  # the executor's next prompt fills too much of the window
