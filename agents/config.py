"""The configuration of an agent, as it stands in an agent file and in a published version."""

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from approvals.policy import Outcome, Rule, check_condition

MAX_TOOLS = 15
_DURATION = re.compile(r"\A(\d+)\s*([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Strict(BaseModel):
    """Refuses keys that it doesn't know, and names the nearest that it does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(cls.model_fields)}."
                    raise ValueError(f"unknown key {key!r}; {hint}")
        return value


def _seconds(value: Any) -> Any:
    """`90`, `"90s"`, `"15m"`, `"2h"` or `"1d"` as seconds."""
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError(f"{value!r} is no duration: write 90s, 15m, 2h or 1d.")
        return int(match[1]) * _SECONDS[match[2]]
    return value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(gt=0, le=366 * 86400)]


class ModelRef(Strict):
    """A model and how to reach it; `provider:model` in short."""

    provider: Literal["anthropic", "openai", "scripted"]
    model: str = Field(min_length=1)
    base_url: str | None = None
    timeout: float = Field(60.0, gt=0, le=600)  # s
    max_tokens: int = Field(4096, gt=0, le=10_000_000)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            provider, colon, model = value.partition(":")
            if not colon:
                raise ValueError(f"write a model as provider:model, such as anthropic:{value}")
            return {"provider": provider, "model": model}
        return value

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


class Models(Strict):
    """A model per role; a role that isn't named uses the executor's."""

    executor: ModelRef
    planner: ModelRef | None = None
    observer: ModelRef | None = None

    def for_role(self, role: str) -> ModelRef:
        """The model that plays `role`."""
        return getattr(self, role) or self.executor


class ToolRef(Strict):
    """A tool that the agent is granted."""

    python: str = Field(description="Dotted path of a function made a tool with @tool.")

    @model_validator(mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        for kind in ("http", "openapi", "mcp"):
            if isinstance(value, dict) and kind in value:
                raise ValueError(f"tools of kind {kind!r} are not available in this version; use python.")
        return value


class Limits(Strict):
    """Where a run ends, however far it got."""

    turns: int = Field(25, ge=1, le=1000)
    tokens: int = Field(50_000, ge=1, le=1_000_000_000)
    cost_usd: float = Field(2.0, gt=0, le=1_000_000)
    seconds: Seconds = 120  # of work; waiting does not count


class PolicyRule(Strict):
    """One line of the policy; the first that matches decides."""

    tool: str = ""
    effect: Literal["", "read", "reversible", "irreversible"] = ""
    when: str = ""
    then: Literal["allow", "require", "deny"]
    approvers: int = Field(1, ge=1, le=10)
    role: Literal["operator", "admin"] = "operator"
    expires: Seconds | None = None

    @field_validator("when")
    @classmethod
    def _condition(cls, value: str) -> str:
        if value and (error := check_condition(value)):
            raise ValueError(f"the condition {value!r} {error}")
        return value

    def rule(self) -> Rule:
        """As the gate knows it."""
        values = self.model_dump()
        return Rule(**{**values, "then": Outcome(self.then)})


class Guardrails(Strict):
    """What is checked around the model."""

    input_max: int = Field(5000, ge=1, le=1_000_000)  # characters
    scope: str = ""
    confidence_min: float = Field(0.6, ge=0, le=1)  # below, the run is escalated


class AgentConfig(Strict):
    """All of an agent but its name."""

    purpose: str = Field(min_length=1)
    pattern: Literal["plan_execute", "react"] = "plan_execute"
    instructions: str = Field(min_length=1)
    models: Models
    tools: tuple[ToolRef, ...] = ()
    limits: Limits = Limits()
    policy: tuple[PolicyRule, ...] = ()
    guardrails: Guardrails = Guardrails()

    @field_validator("tools")
    @classmethod
    def _few(cls, value: tuple[ToolRef, ...]) -> tuple[ToolRef, ...]:
        if len(value) > MAX_TOOLS:
            raise ValueError(f"{len(value)} tools; at most {MAX_TOOLS}, better 5 to 7: split the agent.")
        paths = [ref.python for ref in value]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"the tool {path} is named twice.")
        return value

    def rules(self) -> list[Rule]:
        """The policy as the gate knows it."""
        return [rule.rule() for rule in self.policy]
