"""What a tool call can come to. A tool returns its data for success, or raises one of these."""

from enum import StrEnum
from typing import Any

HALF_A_PAIR = "text may not hold half of a surrogate pair"  # no UTF-8 can, so nothing stores or sends it


class ResultType(StrEnum):
    """The type of a call's result, as the agent is told it."""

    SUCCESS = "success"
    NOT_FOUND = "not_found"
    ERROR = "error"
    DENIED = "denied"
    UNKNOWN_OUTCOME = "unknown_outcome"


class ToolFailure(Exception):
    """The tool could not do it, and changed nothing. `retryable`: the same call may work later."""

    result_type = ResultType.ERROR

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class NotFound(ToolFailure):
    """What the arguments name does not exist; the message says what does."""

    result_type = ResultType.NOT_FOUND


class Denied(ToolFailure):
    """The run's subject may not do this."""

    result_type = ResultType.DENIED


class ToldBefore(Exception):
    """In a rehearsal: what a call was told before, to be told again as it was. `result`: type, and data or message."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(str(result.get("type")))
        self.result = result


class UnknownOutcome(Exception):
    """The request was sent and no reply came: the effect may have happened."""

    result_type = ResultType.UNKNOWN_OUTCOME
