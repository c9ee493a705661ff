"""How the simulator can be told to misbehave: every fault by name, each with the same effect every time."""

import threading
from collections import deque
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator


class FaultKind(StrEnum):
    """What goes wrong."""

    RATE_LIMIT = "rate_limit"  # 429, with Retry-After where `retry_after` is given
    SERVER_ERROR = "server_error"  # 500
    UNAVAILABLE = "unavailable"  # 503
    OVERLOADED = "overloaded"  # 529
    BAD_REQUEST = "bad_request"  # 400
    UNAUTHORIZED = "unauthorized"  # 401, quoting the key
    HTML = "html"  # a proxy's error page with status 502
    HTML_OK = "html_ok"  # the same with status 200
    HANG = "hang"  # silence for `seconds`, then an answer
    LATENCY = "latency"  # a wait between `min` and `max` seconds, fixed by the request, then an answer
    STALL = "stall"  # half of the answer, then silence for `seconds`, then the rest
    SLOW = "slow"  # a stream with `seconds` between its pieces
    RESET = "reset"  # half of the answer, then the connection is closed
    STREAM_ERROR = "stream_error"  # half of the stream, then an error event
    TRUNCATED_STREAM = "truncated_stream"  # a stream which ends in order but without its end event
    MALFORMED_JSON = "malformed_json"
    MALFORMED_ARGUMENTS = "malformed_arguments"  # a call, or a structured answer, that is no JSON object
    WRONG_TYPES = (
        "wrong_types"  # a call, or a structured answer, whose values have other types than they should
    )
    UNKNOWN_TOOL = "unknown_tool"
    EMPTY = "empty"  # no text, no calls
    TRUNCATED = "truncated"  # cut off at max_tokens
    REFUSAL = "refusal"
    TEXT_CALL = "text_call"  # the tool call written out as text
    PARALLEL_CALLS = "parallel_calls"  # `calls` calls in one turn


STATUSES = {
    FaultKind.RATE_LIMIT: 429,
    FaultKind.SERVER_ERROR: 500,
    FaultKind.UNAVAILABLE: 503,
    FaultKind.OVERLOADED: 529,
    FaultKind.BAD_REQUEST: 400,
    FaultKind.UNAUTHORIZED: 401,
}


class Fault(BaseModel):
    """One misbehaviour; each setting matters to the kinds that name it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: FaultKind
    retry_after: float | None = Field(default=None, ge=0)  # s, with rate_limit, overloaded, unavailable
    seconds: float = Field(default=30.0, ge=0, le=300)  # with hang, stall, slow
    min: float = Field(default=0.0, ge=0, le=300)  # with latency
    max: float = Field(default=1.0, ge=0, le=300)  # with latency
    calls: int = Field(default=3, ge=1, le=100)  # with parallel_calls
    attempts: int | None = Field(default=None, ge=1)  # only while the request's attempt is at most this

    @model_validator(mode="after")
    def _range_is_one(self) -> "Fault":
        if self.kind is FaultKind.LATENCY and self.min > self.max:
            raise ValueError("min is greater than max")
        return self

    def applies(self, *, attempt: int) -> bool:
        """Whether a request hits it which says that it is the `attempt`th of its kind (from 1)."""
        return self.attempts is None or attempt <= self.attempts

    def wait(self, digest: str) -> float:
        """Seconds to stay silent before answering a request with this digest."""
        if self.kind is FaultKind.HANG:
            return self.seconds
        if self.kind is FaultKind.LATENCY:
            return self.min + (self.max - self.min) * int(digest[:8], 16) / 0xFFFFFFFF
        return 0.0


class FaultOrder(Fault):
    """A fault for the next `count` requests, as `POST /_faults` takes it."""

    count: int = Field(default=1, ge=1, le=10_000)


class FaultQueue:
    """Faults ordered for coming requests: first ordered, first met. The only state of the simulator."""

    def __init__(self) -> None:
        self._orders: deque[tuple[Fault, int]] = deque()
        self._lock = threading.Lock()

    def order(self, fault: Fault, count: int = 1) -> None:
        with self._lock:
            self._orders.append((fault, count))

    def take(self) -> Fault | None:
        """The fault for this request, if one is due."""
        with self._lock:
            if not self._orders:
                return None
            fault, left = self._orders.popleft()
            if left > 1:
                self._orders.appendleft((fault, left - 1))
            return fault

    def clear(self) -> None:
        with self._lock:
            self._orders.clear()

    def pending(self) -> list[tuple[Fault, int]]:
        with self._lock:
            return list(self._orders)
