"""Reads beside a call: what its checks, dry run, fingerprint and lookup ask of another tool of the agent.

They ask by `ToolContext.ask`, and by nothing else. `agents.runtime.reads` answers it, behind the gate.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from agents.tools.spec import Tool


class Purpose(StrEnum):
    """What a read beside a call is for."""

    CHECK = "check"  # does what an argument names exist?
    PREVIEW = "preview"  # what would the call do?
    FINGERPRINT = "fingerprint"  # what does it rest on?
    LOOKUP = "lookup"  # did it happen?
    REFRESH = "refresh"  # is what was read before still so?
    REHEARSAL = "rehearsal"  # what does a call of a rehearsal read?


class Why(StrEnum):
    """Why a read was not made."""

    NOT_A_READ = "not_a_read"
    SUSPENDED = "suspended"
    NO_RIGHT = "no_right"
    BAD_ARGUMENTS = "bad_arguments"
    DENIED = "denied"
    NEEDS_PERSON = "needs_person"
    HALTED = "halted"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    NO_RUN = "no_run"


class NotMade(Exception):
    """The read was not made: nothing left the house. `str()` says why, for whoever needed it."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why

    @property
    def passes(self) -> bool:
        """Whether it can be made later, with nothing changed by anybody but time or a lifted stop."""
        return self.why in (Why.HALTED, Why.UNAVAILABLE, Why.RATE_LIMITED)


def nobody(tool: "Tool", arguments: dict[str, Any], purpose: Purpose) -> NoReturn:
    """The answer where there is no run behind whose gate a tool could be asked."""
    raise NotMade(Why.NO_RUN, f"{tool.name} can be asked for a call of a run only.")
