"""Which model plays which role, and what happens when none answers."""

from typing import Any, Literal

from pydantic import Field, model_validator

from agents.config.strict import Strict

ROLES = ("executor", "planner", "observer", "summariser", "router", "embeddings")


class Endpoint(Strict):
    """A model and where it answers; `provider:model` in short."""

    provider: Literal["anthropic", "openai", "scripted"]
    model: str = Field(min_length=1)
    base_url: str | None = None

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


class ModelRef(Endpoint):
    """The model of a role, how long it may take, and what stands in for it."""

    timeout: float = Field(60.0, gt=0, le=600)  # s, for a whole call
    stall: float = Field(
        20.0, gt=0, le=600
    )  # s without a piece of the answer, after which a stream has failed
    max_tokens: int = Field(4096, gt=0, le=10_000_000)  # of one answer
    window: int = Field(200_000, ge=1000, le=100_000_000)  # tokens that a prompt and its answer may have
    fallback: tuple[Endpoint, ...] = Field(
        (), max_length=5
    )  # asked in this order where the first can't answer


class Models(Strict):
    """A model per role; a role that isn't named uses the executor's."""

    executor: ModelRef
    planner: ModelRef | None = None
    observer: ModelRef | None = None
    summariser: ModelRef | None = None
    router: ModelRef | None = None
    embeddings: Endpoint | None = None  # none: the offline lexical default

    def for_role(self, role: str) -> ModelRef:
        """The model that plays `role`; embeddings have none by this way."""
        named: ModelRef = getattr(self, role) or self.executor
        return named


class Degraded(Strict):
    """What a run does while no model of its role can answer."""

    mode: Literal["wait", "reply", "hand_over"] = "wait"
    reply: str = ""  # with mode reply

    @model_validator(mode="after")
    def _has_reply(self) -> "Degraded":
        if self.mode == "reply" and not self.reply.strip():
            raise ValueError("degraded.mode is reply, so degraded.reply must say what to answer.")
        return self
