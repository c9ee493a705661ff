"""What the API takes and gives. The names are in INTERFACES of this installation's callers: add, never change."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import ConfigDict, Field

from agents.models import SteeringKind, StepKind
from agents.states import CallStatus, RunStatus
from approvals.models import Kind
from approvals.states import ApprovalStatus
from traces.models import SpanStatus

AGENT_NAME = r"^[a-z][a-z0-9_-]{0,63}$"


class Body(Schema):
    """Something that callers send: unknown keys are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid")


class RunIn(Body):
    """A task for an agent."""

    agent: str = Field(max_length=64, pattern=AGENT_NAME)
    input: str = Field(min_length=1, description="The task, in the words of whoever has it.")
    subject: dict[str, Any] = Field(default={}, description="On whose behalf: user, customer.")
    conversation: str = Field(
        default="", max_length=200, description="Runs of one agent with the same key are its turns."
    )
    task_type: str = Field(default="", max_length=64)
    metadata: dict[str, Any] = Field(default={}, description="Kept with the run, for the caller.")
    success: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the object that the run must yield as its output."
    )


class PlanIn(Body):
    """What to do about the plan of a run."""

    action: SteeringKind
    number: int | None = Field(default=None, ge=1, le=100, description="The step, for retry and skip.")


class RunStarted(Schema):
    """A run that was accepted; it goes on by itself."""

    id: UUID
    status: RunStatus
    trace_id: str
    url: str = Field(description="Its page in the console.")


class Usage(Schema):
    """Tokens in disjoint buckets, and model turns."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    turns: int


class DeedOut(Schema):
    """A tool call in words, and what came of it."""

    tool_call: UUID
    tool: str
    status: CallStatus
    words: str
    result: str = Field(description="What came back, or why it was not done.")


class HandOverOut(Schema):
    """A run for the person who takes it over."""

    asked: str
    on_behalf_of: dict[str, Any]
    why: str = Field(description="Why it stopped.")
    done: list[DeedOut] = Field(description="Effects on the world.")
    found: list[DeedOut] = Field(description="What it looked up, the latest.")
    in_doubt: list[DeedOut] = Field(description="Nobody knows whether these were done.")
    not_done: list[DeedOut]
    open_steps: list[str] = Field(description="Of its plan.")
    unsupported: list[str] = Field(description="What its answer states and nothing that it read bears out.")
    last_words: str = Field(description="Of the agent: not checked, and not to be passed on as they are.")
    assessment: str = Field(description="What the agent's own check said last.")
    people_said: list[str]
    next: list[str] = Field(description="What a person can do.")


class RunOut(Schema):
    """A run as it stands."""

    id: UUID
    agent: str
    version: int
    status: RunStatus
    reason: str = Field(description="Why it stands where it stands, in words.")
    output: str | None
    confidence: float | None
    usage: Usage
    cost_usd: float
    pending_approvals: list[UUID] = Field(description="What people must decide before it goes on.")
    handover: HandOverOut | None = Field(
        default=None, description="With one run that was escalated, failed, looped or reached a limit."
    )
    trace_id: str
    conversation: str
    simulated: bool = Field(description="Its models were played, not asked.")
    url: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Because(Body):
    """Why."""

    reason: str = Field(default="", max_length=2000)


class StepOut(Schema):
    """One step; its payload depends on its kind."""

    seq: int
    kind: StepKind
    payload: Any
    tool_calls: list[UUID]
    created_at: datetime


class ToolCallOut(Schema):
    """One call of a tool, from proposal to result."""

    id: UUID
    step: int
    tool: str
    effect: str
    status: CallStatus
    arguments: Any = Field(description="As they run: a person may have edited them.")
    proposed_arguments: Any = Field(description="As the model wrote them.")
    digest: str
    rule: str
    tainted: bool
    approval: UUID | None
    attempts: int = Field(description="How often it was tried, each time with the same key.")
    result: Any = Field(description="What the agent was told: type, and data or message.")
    fetched_at: datetime | None = Field(
        description="How old its data is, where the tool keeps lookups for a while."
    )
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class ApprovalIn(Body):
    """What another program's agent wants to do."""

    tool: str = Field(min_length=1, max_length=128, pattern=r"^[\w.:/-]+$")
    arguments: dict[str, Any]
    effect: Literal["read", "reversible", "irreversible"] = "irreversible"
    reason: str = Field(
        default="", max_length=10_000, description="In the agent's words; people see them as such."
    )
    context: dict[str, Any] = Field(default={}, description="What helps a person to decide.")
    expires_in: int | None = Field(
        default=None, ge=1, le=30 * 86400, description="Seconds; then it expires, which denies it."
    )


class DecisionOut(Schema):
    """What a person said."""

    decision: str = Field(description="approve, edit, reject or answer")
    by: str
    via: str
    reason: str
    answer: Any
    digest: str
    decided_at: datetime


class ApprovalOut(Schema):
    """A request to people as it stands. After an edit, `arguments` and `digest` are the edited ones."""

    id: UUID
    kind: Kind
    status: ApprovalStatus
    title: str
    tool: str
    arguments: Any
    digest: str
    effect: str
    risk: str
    reason: str
    rule: str
    tainted: bool
    run: UUID | None
    agent: str
    approvers: int = Field(description="How many different people must agree.")
    url: str
    requested_at: datetime
    expires_at: datetime
    resolved_at: datetime | None
    decision: DecisionOut | None


class DecisionIn(Body):
    """A person's word, on exactly what `digest` stands for."""

    decision: Literal["approve", "edit", "reject", "answer", "escalate"]
    digest: str = Field(max_length=64)
    arguments: dict[str, Any] | None = Field(
        default=None, description="With edit: all arguments, as they shall run."
    )
    answer: dict[str, Any] | None = Field(default=None, description="With answer.")
    reason: str = Field(default="", max_length=2000, description="With reject: what the agent is told.")


class HaltIn(Body):
    """An emergency stop."""

    agent: str = Field(default="", max_length=64, pattern=r"^[a-z0-9_-]*$", description="Empty: all agents.")
    reason: str = Field(default="", max_length=2000)


class HaltOut(Schema):
    """An emergency stop that stands."""

    agent: str
    reason: str
    halted_by: str
    halted_at: datetime


class BreakerOut(Schema):
    """A brake on the whole system that a figure of the last hour tripped; it stands until it is lifted."""

    name: str
    reason: str = Field(description="The figure and the limit, in words.")
    figure: float
    limit: float
    tripped_at: datetime


class SpanOut(Schema):
    """A piece of work, as OpenTelemetry names it."""

    id: str
    parent_id: str | None
    name: str
    operation: str
    status: SpanStatus
    error_type: str
    started_at: datetime
    ended_at: datetime | None
    duration_ms: float | None
    model: str
    tool: str
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cost_usd: float | None
    attributes: dict[str, Any]
    input: Any = None
    output: Any = None


class TraceOut(Schema):
    """A trace by its root."""

    trace_id: str
    run: UUID | None
    name: str
    agent: str
    agent_version: int | None
    status: SpanStatus
    simulated: bool
    started_at: datetime
    ended_at: datetime | None
    duration_ms: float | None


class TraceWithSpans(TraceOut):
    """A trace and all that was recorded in it, in order of start."""

    spans: list[SpanOut]


class AgentOut(Schema):
    """An agent by its live version."""

    name: str
    version: int
    purpose: str
    pattern: str
    published_at: datetime
    config: dict[str, Any] | None = Field(
        default=None, description="All of it; for people, on the agent's own page."
    )


class RunList(Schema):
    """A page of runs."""

    items: list[RunOut]
    next: str | None


class StepList(Schema):
    """A page of steps."""

    items: list[StepOut]
    next: str | None


class ToolCallList(Schema):
    """A page of tool calls."""

    items: list[ToolCallOut]
    next: str | None


class ApprovalList(Schema):
    """A page of approvals."""

    items: list[ApprovalOut]
    next: str | None


class BreakerList(Schema):
    """All breakers that stand."""

    items: list[BreakerOut]
    next: str | None


class TraceList(Schema):
    """A page of traces."""

    items: list[TraceOut]
    next: str | None


class AgentList(Schema):
    """A page of agents."""

    items: list[AgentOut]
    next: str | None
