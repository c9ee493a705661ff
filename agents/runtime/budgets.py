"""What a run may still use, and how it is cut for the runs that it starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.config import AgentConfig, Limits
from agents.models import Run

RESERVE = 0.2  # share of what is left that a coordinator keeps to put the parts together
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of turns, tokens, money and work."""

    turns: int
    tokens: int
    cost_usd: float
    seconds: float

    def part(self, share: float, *, turns: int) -> "Budget":
        """`share` of it, 0 to 1, with so many turns."""
        return Budget(
            turns=turns,
            tokens=int(self.tokens * share),
            cost_usd=int(self.cost_usd * share * 1e8) / 1e8,
            seconds=int(self.seconds * share * 1000) / 1000,
        )

    def as_json(self) -> dict[str, Any]:
        """As a run keeps it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def in_words(self) -> str:
        """As a model is told of it."""
        return f"{self.turns} turns, {self.tokens:,} tokens, {self.cost_usd:.4f} USD, {self.seconds:.0f} s of work"


def limits_of(config: AgentConfig, run: Run) -> Limits:
    """The limits of the agent, or what was cut for this run where that is less."""
    given: dict[str, Any] | None = run.budget
    if not given:
        return config.limits
    names = [name for name in Budget.__slots__ if name in given]
    return config.limits.model_copy(
        update={name: min(getattr(config.limits, name), given[name]) for name in names}
    )


def left(config: AgentConfig, run: Run, used: dict[str, Any] | None = None) -> Budget:
    """What the run may still use; `used` are newer values of its counters that are not stored yet."""
    limits, now = limits_of(config, run), used or {}

    def count(name: str) -> Any:
        return now.get(name, getattr(run, name))

    return Budget(
        turns=max(0, limits.turns - count("turns")),
        tokens=max(0, limits.tokens - sum(count(name) for name in TOKENS)),
        cost_usd=max(0.0, limits.cost_usd - float(count("cost_usd"))),
        seconds=max(0.0, limits.seconds - count("work_ms") / 1000),
    )


def cut(whole: Budget, shares: Sequence[float]) -> list[Budget]:
    """A budget for each share; their sum is never more than `whole` without its reserve.

    Shares that come to more than 1 are scaled down, and where none is above 0 all are equal. Each part has a turn at
    least, and a turn is kept; empty where there are not enough for that.
    """
    wanted = [max(0.0, share) for share in shares]
    if not any(wanted):
        wanted = [1.0] * len(shares)
    scale = max(1.0, sum(wanted))
    portions = [share / scale for share in wanted]
    pool = whole.part(1 - RESERVE, turns=whole.turns - 1)
    if pool.turns < len(portions) or pool.tokens < len(portions):
        return []
    spare = pool.turns - len(portions)  # beyond the turn that each has
    return [pool.part(portion, turns=1 + int(spare * portion)) for portion in portions]
