"""Where a run ends, how often one may begin, and how much of the window it may fill."""

from typing import Literal

from pydantic import Field

from agents.config.strict import Seconds, Strict


class Limits(Strict):
    """Where a run ends, however far it got."""

    turns: int = Field(25, ge=1, le=1000)
    tokens: int = Field(50_000, ge=1, le=1_000_000_000)
    step_tokens: int = Field(20_000, ge=1, le=1_000_000_000)  # of one model call, in and out
    cost_usd: float = Field(2.0, gt=0, le=1_000_000)
    seconds: Seconds = 120  # of work; waiting does not count
    repeats: int = Field(3, ge=2, le=100)  # the same call, after which it is a loop
    tool_retries: int = Field(2, ge=0, le=10)  # of a call that failed and may be repeated
    questions_per_hour: int = Field(
        0, ge=0, le=1_000_000
    )  # to people, above which it is halted; 0: any number


class Rates(Strict):
    """Runs that may begin within a minute, and conversations that may be open; 0: any number."""

    agent: int = Field(0, ge=0, le=1_000_000)
    user: int = Field(60, ge=0, le=1_000_000)
    session: int = Field(20, ge=0, le=1_000_000)


class Context(Strict):
    """What the model is shown, and when old parts are shortened."""

    summarise_at: float = Field(0.7, gt=0.1, le=0.95)  # of the window
    result_max: int = Field(16_000, ge=500, le=1_000_000)  # characters; a larger result is stored apart
    reinforce_every: int = Field(8, ge=1, le=1000)  # messages, after which the instructions are said again


class Conversations(Strict):
    """How several messages with one key belong together."""

    idle: Seconds = 1800  # then the session is summarised and closed
    busy: Literal["wait", "take_in"] = "wait"  # a message that comes while a run goes on
    messages: int = Field(200, ge=1, le=100_000)  # of one session
    open_per_user: int = Field(20, ge=1, le=100_000)
