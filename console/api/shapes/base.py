"""What all shapes share."""

from ninja import Schema
from pydantic import ConfigDict, Field

AGENT_NAME = r"^[a-z][a-z0-9_-]{0,63}$"


class Body(Schema):
    """Something that callers send: unknown keys are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid")


class Because(Body):
    """Why."""

    reason: str = Field(default="", max_length=2000)
