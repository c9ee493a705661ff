"""Suites."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field


class CaseCallOut(Schema):
    """A call of a case."""

    tool: str
    refused: bool = Field(description="By a check or by the policy: it came to nothing.")
    asks: bool = Field(description="The policy would put it before people.")


class CaseOut(Schema):
    """What came of one case."""

    case: str
    passed: bool | None = Field(description="null while it goes on.")
    change: Literal["", "regression", "improvement"] = Field(
        description="Since the baseline; a new case that fails is a regression."
    )
    findings: list[str] = Field(description="What is otherwise than expected, in sentences.")
    run: UUID | None
    status: str = Field(description="Of its run, when it was judged.")
    turns: int
    cost_usd: float
    calls: list[CaseCallOut]


class SuiteRunOut(Schema):
    """All cases of a suite, run once."""

    id: UUID
    suite: str
    agent: str
    version: int
    status: Literal["running", "finished"]
    passed: int
    failed: int
    regressions: list[str] = Field(
        description="Cases that passed in the baseline and fail now, and new ones that fail."
    )
    improvements: list[str]
    gone: list[str] = Field(description="Cases of the baseline that the suite no longer has.")
    baseline: UUID | None = Field(description="The run with which it is compared.")
    accepted: bool = Field(description="Later runs are compared with this one.")
    cases: list[CaseOut]
    cost_usd: float
    created_at: datetime
    ended_at: datetime | None


class SuiteLine(Schema):
    """A suite in the list."""

    name: str
    agent: str
    cases: int
    created_at: datetime


class SuiteOut(SuiteLine):
    """A suite with what came of it last."""

    last: SuiteRunOut | None = Field(description="The newest run of it that you may see.")


class SuiteList(Schema):
    """A page of suites."""

    items: list[SuiteLine]
    next: str | None
