"""Traces and their spans."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from traces.models import SpanStatus


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
    sent_by: str | None = Field(description="The user whose program sent it; null: Gatehouse recorded it.")
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


class TraceList(Schema):
    """A page of traces."""

    items: list[TraceOut]
    next: str | None
