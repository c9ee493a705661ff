"""What every model provider offers: one request in, one typed response or one typed failure out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Finish(StrEnum):
    """Why the model stopped."""

    STOP = "stop"  # it said what it wanted to say
    TOOL_CALLS = "tool_calls"  # it wants tools to be called
    LENGTH = "length"  # cut off at max_tokens: the answer is not whole
    REFUSED = "refused"  # the provider or the model declined


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A tool call as the model wrote it; nothing in it has been checked."""

    id: str
    name: str
    arguments: dict[str, Any] | None  # None: not a JSON object, see raw
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation, in no provider's format."""

    role: str  # user, assistant, tool
    text: str = ""
    tool_calls: tuple[ProposedCall, ...] = ()  # with role assistant
    tool_call_id: str = ""  # with role tool
    is_error: bool = False  # with role tool


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """What the model is told of a tool."""

    name: str
    description: str
    parameters: dict[str, Any]  # JSON Schema of an object


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens in disjoint buckets: their sum is what the call used."""

    input: int = 0  # fresh, neither read from nor written to the cache
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        return self.input + self.cache_read + self.cache_write + self.output

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input=self.input + other.input,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
        )


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model."""

    model: str
    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    output_schema: dict[str, Any] | None = None  # the answer must be an object of this JSON Schema
    max_tokens: int = 4096
    timeout: float = 60.0  # s, for the whole call
    stall: float | None = (
        None  # s without a piece of a streamed answer; None: as long as the whole call may take
    )
    metadata: dict[str, str] = field(default_factory=dict)  # role, run: for logs and the simulator


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """What came back."""

    text: str
    finish: Finish
    usage: Usage
    model: str  # as the provider names what answered
    tool_calls: tuple[ProposedCall, ...] = ()
    parsed: dict[str, Any] | None = None  # with output_schema, where the answer was a JSON object
    response_id: str = ""


class FailureKind(StrEnum):
    """How a model call can fail."""

    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    BREAKER_OPEN = "breaker_open"  # it was not asked: it failed too often lately
    MALFORMED = "malformed"  # the answer was not what the wire format promises, or broke off


RETRYABLE = frozenset(
    {
        FailureKind.RATE_LIMIT,
        FailureKind.OVERLOADED,
        FailureKind.TIMEOUT,
        FailureKind.CONNECTION,
        FailureKind.MALFORMED,
        FailureKind.BREAKER_OPEN,
    }
)


class ModelFailure(Exception):
    """A model call that gave no answer; `str()` is fit for an operator and holds no secret."""

    def __init__(
        self, kind: FailureKind, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after  # s, as the provider asked
        self.status = status  # HTTP

    @property
    def retryable(self) -> bool:
        return self.kind in RETRYABLE


class Provider(Protocol):
    """A way to reach models."""

    name: str  # as OpenTelemetry's gen_ai.provider.name
    simulated: bool

    def complete(
        self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None
    ) -> ModelResponse:
        """Answer `request`; with `on_text`, stream and hand over each piece of text as it comes.

        Makes one attempt: retries are the run's business. Raises ModelFailure.
        """
        ...
