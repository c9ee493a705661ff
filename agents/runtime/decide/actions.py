"""What can be decided: one action at a time."""

from dataclasses import dataclass
from uuid import UUID

from agents.states import RunStatus


@dataclass(frozen=True, slots=True)
class Plan:
    """Have the planner plan."""


@dataclass(frozen=True, slots=True)
class CallModel:
    """Have the executor take its next turn."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Look up what is remembered, and whether the question was answered before."""


@dataclass(frozen=True, slots=True)
class Summarise:
    """Make room in the window: the executor's next prompt would fill too much of it."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Have the observer judge what the executor answered."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Take all proposed calls through validation and policy."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Take over what was decided about a call."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Execute:
    """Claim and execute an approved call."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Recover:
    """This call may have happened, and can't simply go on: find out how it can."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Ask:
    """Put the planner's question to a person."""


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """Take over a person's answer."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Hold nothing until a person has decided."""

    status: RunStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """An emergency stop stands: hold nothing and look again later."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A person paused the run."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends."""

    status: RunStatus
    reason: str


Action = (
    Plan
    | CallModel
    | Recall
    | Summarise
    | Observe
    | Judge
    | Settle
    | Execute
    | Recover
    | Ask
    | TakeAnswer
    | Wait
    | Freeze
    | Pause
    | Finish
)
