"""What can go wrong with agents and runs. `str()` is a message for the person or program that asked."""

from typing import Any


class AgentError(Exception):
    """Base; nothing was changed. `errors` names each place that is wrong, for a form."""

    code = "agent_error"

    def __init__(self, message: str, *, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class UnknownAgent(AgentError):
    """There is no agent of that name, or it has no live version."""

    code = "unknown_agent"


class BadInput(AgentError):
    """What was sent can't start a run."""

    code = "bad_input"


class BadConfig(AgentError):
    """The configuration of an agent can't be used."""

    code = "bad_config"


class MissingRun(AgentError):
    """There is no such run, or not for this person."""

    code = "not_found"


class MissingSuite(AgentError):
    """There is no such suite, or no such run of it, or not for this person."""

    code = "not_found"


class WrongState(AgentError):
    """The run is not in a state in which this can be done."""

    code = "wrong_state"


class OtherSubject(AgentError):
    """The conversation belongs to somebody else."""

    code = "other_subject"


class ConversationFull(AgentError):
    """The conversation has as many messages as it may have."""

    code = "conversation_full"


class RateLimited(AgentError):
    """Too many at once. Nothing was begun; `retry_after` (s) says when it can be."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LeaseLost(Exception):
    """Another worker has taken the run over: whatever this one knows is stale, and it must write nothing more."""


class Changed(Exception):
    """What the next step was decided on changed before it was committed: nothing was written, look again."""


def require_none(wrong: list[dict[str, Any]]) -> None:
    """Raise BadConfig where something is wrong: {path, message} for each place."""
    if wrong:
        where = ".".join(str(part) for part in wrong[0]["path"])
        raise BadConfig(f"{where}: {wrong[0]['message']}" if where else wrong[0]["message"], errors=wrong)
