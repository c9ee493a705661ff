"""The configuration of an agent, as it stands in an agent file and in a published version."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from agents.config.guardrails import Guardrails, PolicyRule
from agents.config.limits import Context, Conversations, Limits, Rates
from agents.config.memory import AnswerCache, Memory
from agents.config.models import Degraded, Endpoint, ModelRef, Models
from agents.config.patterns import Coordinator, FastPath, Link, Plan, Router
from agents.config.strict import Strict
from agents.config.tools import ToolRef
from approvals.policy import Rule

__all__ = [
    "AgentConfig",
    "AnswerCache",
    "Context",
    "Conversations",
    "Coordinator",
    "Degraded",
    "Endpoint",
    "FastPath",
    "Guardrails",
    "Limits",
    "Link",
    "Memory",
    "ModelRef",
    "Models",
    "Plan",
    "PolicyRule",
    "Rates",
    "Router",
    "Strict",
    "ToolRef",
]

MAX_TOOLS = 15

Pattern = Literal["plan_execute", "react", "router", "coordinator", "chain", "gateway"]
NO_MODELS = Models(executor=ModelRef(provider="scripted", model="none"))


class AgentConfig(Strict):
    """All of an agent but its name."""

    purpose: str = Field(min_length=1)
    pattern: Pattern = "plan_execute"
    instructions: str = ""
    models: Models = NO_MODELS  # with any pattern but gateway
    tools: tuple[ToolRef, ...] = ()
    router: Router | None = None  # with pattern router
    coordinator: Coordinator | None = None  # with pattern coordinator
    chain: tuple[Link, ...] = Field((), max_length=20)  # with pattern chain
    plan: Plan = Plan()  # with pattern plan_execute
    fast_path: FastPath | None = None  # with pattern plan_execute
    degraded: Degraded = Degraded()
    limits: Limits = Limits()
    rates: Rates = Rates()
    context: Context = Context()
    conversations: Conversations = Conversations()
    policy: tuple[PolicyRule, ...] = ()
    guardrails: Guardrails = Guardrails()
    memory: Memory = Memory()
    answer_cache: AnswerCache | None = None

    @field_validator("tools")
    @classmethod
    def _once(cls, value: tuple[ToolRef, ...]) -> tuple[ToolRef, ...]:
        paths = [ref.python for ref in value if ref.python]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"the tool {path} is named twice.")
        return value

    @model_validator(mode="after")
    def _has_what_its_pattern_needs(self) -> "AgentConfig":
        for pattern in ("router", "coordinator", "chain"):
            if self.pattern == pattern and not getattr(self, pattern):
                raise ValueError(f"the pattern {pattern} needs the key {pattern!r}.")
            if self.pattern != pattern and getattr(self, pattern):
                raise ValueError(
                    f"the key {pattern!r} is for the pattern {pattern}; the pattern is {self.pattern}."
                )
        if self.pattern == "gateway":
            if self.models != NO_MODELS or self.instructions:
                raise ValueError("a gateway asks no model: leave models and instructions out.")
        elif self.models == NO_MODELS:
            raise ValueError("the key 'models' is missing: name at least the executor.")
        elif not self.instructions.strip():
            raise ValueError("the key 'instructions' is missing or empty.")
        if self.pattern in ("router", "coordinator") and self.tools:
            raise ValueError(
                f"a {self.pattern} calls no tools: grant them to the agents that it hands work to."
            )
        if self.pattern != "plan_execute" and (self.plan.approve or self.fast_path):
            raise ValueError("the keys plan and fast_path are for the pattern plan_execute.")
        return self

    def model_of(self, role: str) -> ModelRef:
        """The model that plays `role`, with no more room than `limits.step_tokens` leave it."""
        model = self.models.for_role(role)
        if model.window <= self.limits.step_tokens:
            return model
        return model.model_copy(update={"window": self.limits.step_tokens})

    def rules(self) -> list[Rule]:
        """The policy as the gate knows it."""
        return [rule.rule() for rule in self.policy]
