"""What Gatehouse knows of a tool, wherever it comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog

from agents.tools.asking import Purpose, nobody

if TYPE_CHECKING:
    from agents.config.tools import Check

log = structlog.get_logger(__name__)

BUILT_IN = "built-in"  # in `source`: Gatehouse's own, granted by what an agent is, and offered at every step
STAND_IN = "rehearsal"  # likewise: in the place of a tool, in a run of which nothing reaches the world


class Effect(StrEnum):
    """What a call does to the world."""

    READ = "read"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


class Category(StrEnum):
    """What a tool is for; an executor sees the categories that its plan step needs."""

    LOOKUP = "lookup"
    SEARCH = "search"
    MUTATION = "mutation"
    ESCALATION = "escalation"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a call knows of where it stands."""

    run_id: str
    call_id: str
    idempotency_key: str  # the same for every attempt of this call
    subject: Mapping[str, Any]  # on whose behalf: user, customer
    agent: str
    now: datetime
    # What a read, one of the agent's tools, returns: the only way to call one for a check or a preview.
    ask: Callable[["Tool", dict[str, Any], Purpose], Any] = nobody


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a call would change."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Preview:
    """What a call would do, for the person who decides; made without any effect."""

    summary: str
    changes: tuple[Change, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)  # names beside raw ids, evidence


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the gate sees it."""

    name: str
    description: str
    parameters: dict[str, Any]  # JSON Schema of the arguments
    run: Callable[[ToolContext, dict[str, Any]], Any]  # validated arguments in, JSON-able data out
    source: str  # python:<dotted path>, http:<address>, openapi:<address>, mcp:<server>, built-in:<name>
    digest: str  # of the definition: a changed one is another tool to an approval
    category: Category = Category.LOOKUP
    effect: Effect = Effect.IRREVERSIBLE
    idempotent: bool = False  # the same key twice has one effect
    egress: bool = False  # calling it lets data out of the house
    untrusted: bool = True  # its results hold words of outsiders
    timeout: float = 30.0  # s
    permission: str = ""  # that the run's subject must have
    rate_limit: int = 0  # calls a minute by all workers together; 0: any number
    retries: int | None = None  # of a call that failed and may be repeated; None: as the agent's limits say
    fallback: str = ""  # the tool to try while this one is unavailable
    cache_seconds: float = 0.0  # of a read: how long its result serves again; 0: never
    polling: bool = False  # the same call again and again is how it is used
    fresh_seconds: float = 0.0  # of a read: how old its result may be when an effect runs; 0: any age
    returns: dict[str, Any] = field(default_factory=dict)  # JSON Schema of its data; empty: not said
    when_to_use: str = ""
    when_not_to_use: str = ""
    title: Callable[[dict[str, Any]], str] | None = None  # the action in words
    check: Callable[[ToolContext, dict[str, Any]], None] | None = None  # raises ValueError, NotFound, Denied
    preview: Callable[[ToolContext, dict[str, Any]], Preview] | None = None
    # What the call rests on, read without an effect; another value is another call to who approved it.
    fingerprint: Callable[[ToolContext, dict[str, Any]], Any] | None = None
    suspended: str = ""  # why it may not be called until somebody has looked, in words
    undo: tuple[str, dict[str, Any]] | None = None  # the tool that takes a call back, and its arguments
    checks: Mapping[str, "Check"] = field(
        default_factory=dict
    )  # by argument; `agents.tools.links` lays them on
    dry_run: str = ""  # the tool that tells, without an effect, what a call would do; likewise
    fingerprint_by: str = ""  # the tool that tells what a call rests on; likewise
    look_up: str = ""  # the tool that tells whether a call happened; likewise
    lookup: Callable[[ToolContext, dict[str, Any]], Any] | None = None  # the same by code; without an effect

    @property
    def built_in(self) -> bool:
        """Whether it is Gatehouse's own."""
        return self.source.startswith(f"{BUILT_IN}:")

    @property
    def stands_in(self) -> bool:
        """Whether it answers in the place of a tool, in a rehearsal, and calls nothing."""
        return self.source.startswith(f"{STAND_IN}:")

    def in_words(self, arguments: dict[str, Any]) -> str:
        """The action as a person says it; made by the tool's code, never by the agent."""
        if self.title is not None:
            try:
                return self.title(arguments)
            except Exception:  # a tool's code may raise anything: the name always serves
                log.warning("title.failed", tool=self.name, exc_info=True)
        return f"Call {self.name}"
