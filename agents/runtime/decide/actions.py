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
class Verify:
    """Keep what the answer states and nothing bears out, for the agent to correct."""


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
class RetryLater:
    """A call is to be tried again, and its time has not come: hold nothing until then."""


@dataclass(frozen=True, slots=True)
class Recover:
    """This call may have happened, and can't simply go on: find out how it can."""

    call: UUID


@dataclass(frozen=True, slots=True)
class Triage:
    """Have the router's model say whether the request is simple."""


@dataclass(frozen=True, slots=True)
class Route:
    """Have the router's model classify the request, and start the run that works on it."""


@dataclass(frozen=True, slots=True)
class Delegate:
    """Have the coordinator hand out parts of the task, and start the runs that work on them."""


@dataclass(frozen=True, slots=True)
class Gather:
    """All runs that were started are over: take over what they came to and what they used."""


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Have the coordinator put together what the parts came to."""

    may_delegate: bool  # once more


@dataclass(frozen=True, slots=True)
class PassOn:
    """Ask the runs that were started for what a person asked of this one: cancel, or pause."""

    what: str


@dataclass(frozen=True, slots=True)
class AskPlan:
    """Have a person approve the plan."""


@dataclass(frozen=True, slots=True)
class TakePlan:
    """Take over the plan as a person approved it."""


@dataclass(frozen=True, slots=True)
class TakeSteering:
    """Take in what a person wants done about the plan."""


@dataclass(frozen=True, slots=True)
class DropSteps:
    """The budget is short: leave out these optional steps of the plan."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conclude:
    """Put the final answer into the form that the task asks for."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Put the planner's question to a person."""


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """Take over a person's answer."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Hold nothing until a person has decided, or the runs that were started are over."""

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
class CallNext:
    """Propose the next of the calls that were given."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run ends."""

    status: RunStatus
    reason: str
    output: str | None = None  # None: what the executor said last
    summary: str = ""  # empty: what the observer said, or what was done
    confidence: float | None = None  # None: what the observer said


Action = (
    Plan
    | CallModel
    | Recall
    | Summarise
    | Observe
    | Verify
    | Judge
    | Settle
    | Execute
    | RetryLater
    | Recover
    | Ask
    | TakeAnswer
    | Wait
    | Freeze
    | Pause
    | Finish
    | Triage
    | Route
    | Delegate
    | Gather
    | Aggregate
    | PassOn
    | AskPlan
    | TakePlan
    | TakeSteering
    | DropSteps
    | Conclude
    | CallNext
)
