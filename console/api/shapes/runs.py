"""Runs, their steps and calls."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from agents.models import RehearsalKind, SteeringKind, StepKind
from agents.nearest import hint
from agents.states import CallStatus, RunStatus
from console.api.shapes.base import AGENT_NAME, Body


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


class GuidanceIn(Body):
    """Words to a run while it goes on."""

    text: str = Field(min_length=1, max_length=5000, description="Heard before its next model call.")


class OtherResultIn(Body):
    """What a call is told in a fork, instead of what it was told."""

    call: UUID = Field(description="A call of the steps that the fork begins with.")
    data: Any = Field(description="What it returns.")


class ForkIn(Body):
    """From where a fork goes on, and with what changed."""

    step: int = Field(ge=0, le=1_000_000, description="The last step that it begins with; 0: its beginning.")
    instructions: str | None = Field(
        default=None, min_length=1, max_length=100_000, description="Instead of the agent's."
    )
    model: str | None = Field(
        default=None,
        max_length=200,
        description="Of the executor, as `provider:model`; none stands in for it.",
    )
    input: str | None = Field(default=None, min_length=1, description="Another task.")
    result: OtherResultIn | None = None
    live_reads: bool = Field(
        default=False, description="Reads that are not in the recording are made, behind the gate."
    )

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:
                message = {"message": f"unknown key {key!r}; {hint(str(key), cls.model_fields)}"}
                raise PydanticCustomError("unknown_key", "{message}", message)
        return value


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
    rehearsal: RehearsalKind | None = Field(
        default=None, description="It is a rehearsal, made for this: nothing of it reached the world."
    )
    rehearsal_of: UUID | None = Field(default=None, description="The run that it replays or forks.")
    simulated: bool = Field(description="Its models were played, not asked.")
    url: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


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
