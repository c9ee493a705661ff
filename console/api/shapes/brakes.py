"""What stops runs."""

from datetime import datetime

from ninja import Schema
from pydantic import Field

from console.api.shapes.base import Body


class HaltIn(Body):
    """An emergency stop."""

    agent: str = Field(default="", max_length=64, pattern=r"^[a-z0-9_-]*$", description="Empty: all agents.")
    tool: str = Field(
        default="", max_length=128, description="Only the calls of this tool; empty: all that it does."
    )
    reason: str = Field(default="", max_length=2000)


class HaltOut(Schema):
    """An emergency stop that stands."""

    agent: str
    tool: str
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


class BreakerList(Schema):
    """All breakers that stand."""

    items: list[BreakerOut]
    next: str | None


class AlertOut(Schema):
    """A figure that broke its limit."""

    id: int
    name: str
    reason: str = Field(description="The figure and the limit, in words.")
    figure: float
    limit: float
    tripped_at: datetime
    lifted_at: datetime | None = Field(description="None: it stands.")
    lifted_by: str


class AlertList(Schema):
    """A page of alerts."""

    items: list[AlertOut]
    next: str | None
