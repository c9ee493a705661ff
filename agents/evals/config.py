"""The configuration of a suite, as it stands in a suite file."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from agents.config import Strict

MAX_CASES = 500

Status = Literal["completed", "escalated", "failed", "cancelled", "loop_detected", "limit_exceeded"]
CaseName = Annotated[str, Field(min_length=1, max_length=200)]
ToolName = Annotated[str, Field(min_length=1, max_length=128)]
Words = Annotated[str, Field(min_length=1)]


class Times(Strict):
    """How often."""

    min: int = Field(0, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"min is {self.min} and max is {self.max}: no number is both.")
        return self

    def __contains__(self, count: int) -> bool:
        return self.min <= count and (self.max is None or count <= self.max)

    def __str__(self) -> str:
        if self.max is None:
            return f"at least {self.min}"
        if self.max == 0:
            return "none"
        return f"{self.min}" if self.min == self.max else f"{self.min} to {self.max}"


def _times(value: Any) -> Any:
    """`2` as exactly two."""
    if isinstance(value, dict | Times):
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r} is no number of calls: write 2, or {{min: 1, max: 3}}.")
    return {"min": value, "max": value}


class ExpectedCall(Strict):
    """A tool that is called; of its arguments, those that are named."""

    tool: ToolName
    arguments: dict[str, Any] = {}
    count: Annotated[Times, BeforeValidator(_times)] = Times(min=1)


class Expect(Strict):
    """What must hold of a run that is over. What is left out may be anything."""

    status: Status | None = None
    calls: tuple[ExpectedCall, ...] = ()
    no_calls: tuple[ToolName, ...] = ()
    asks: tuple[ToolName, ...] | None = None  # the tools, and no others, that people would be asked about
    contains: tuple[Words, ...] = ()  # of the output, whatever the case of its letters
    not_contains: tuple[Words, ...] = ()
    max_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False)
    max_turns: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self == Expect.model_construct():
            raise ValueError("nothing is expected, so that nothing can fail: write `status: completed`, say.")
        return self


class CaseConfig(Strict):
    """One task, what its tools answer, and what is expected of the agent."""

    case: CaseName
    input: str = Field(min_length=1)
    subject: dict[str, Any] = {}
    trusted: bool = False  # the team wrote the input; else what it leads to is tainted
    answers: dict[ToolName, tuple[Any, ...]] = {}  # of each tool, for its calls in order
    expect: Expect


class SuiteConfig(Strict):
    """All of a suite but its name."""

    agent: str = Field(min_length=1, max_length=64)
    cases: tuple[CaseConfig, ...] = Field(min_length=1, max_length=MAX_CASES)
