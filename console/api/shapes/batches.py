"""Batches."""

from datetime import datetime
from typing import Any
from uuid import UUID

from ninja import Schema
from pydantic import Field

from agents.batches import CONCURRENCY, MAX_BUDGET, MAX_CONCURRENCY
from agents.models import BatchStatus
from console.api.shapes.base import AGENT_NAME, Body


class BatchTask(Body):
    """What is to be done with each row, and what it may cost."""

    agent: str = Field(max_length=64, pattern=AGENT_NAME)
    task: str = Field(
        default="",
        max_length=100_000,
        description="With {column} for what differs; empty: the column `input` has each row's own.",
    )
    name: str = Field(default="", max_length=200, description="Of the table, for people.")
    budget_usd: float | None = Field(
        default=None, gt=0, le=MAX_BUDGET, description="For all rows together; then the batch pauses."
    )
    concurrency: int = Field(
        default=CONCURRENCY, ge=1, le=MAX_CONCURRENCY, description="Runs that may be open at a time."
    )


class BatchIn(BatchTask):
    """One task over some rows."""

    rows: list[dict[str, Any]] = Field(
        min_length=1,
        description="Values by column. A column `subject` says on whose behalf: an id, or an object.",
    )


class BatchResume(Body):
    """How to go on."""

    budget_usd: float | None = Field(
        default=None, gt=0, le=MAX_BUDGET, description="Instead of the one before."
    )


class BatchOut(Schema):
    """A batch as it stands."""

    id: UUID
    agent: str
    name: str
    task: str
    status: BatchStatus
    reason: str = Field(description="Why it stands where it stands, in words.")
    rows: int
    waiting: int = Field(description="Rows that were not started yet.")
    failed: int = Field(description="Rows that could not be started.")
    runs: dict[str, int] = Field(description="Runs by status.")
    concurrency: int
    budget_usd: float | None
    cost_usd: float = Field(description="So far, with runs that are at work.")
    url: str
    created_at: datetime
    ended_at: datetime | None


class BatchLine(Schema):
    """A batch in the list."""

    id: UUID
    agent: str
    name: str
    status: BatchStatus
    reason: str
    rows: int
    url: str
    created_at: datetime
    ended_at: datetime | None


class BatchList(Schema):
    """A page of batches."""

    items: list[BatchLine]
    next: str | None
