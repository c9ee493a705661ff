"""Spans of others as ours: by the GenAI semantic conventions, bounded, and without secrets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from pydantic_core import from_json, to_json

from traces.models import Span, SpanStatus
from traces.otlp.values import from_attributes
from traces.queries.totals import MODEL_OPERATIONS
from traces.recorder import PREVIEW_CHARS, Recorded
from traces.redaction import redact, redact_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(hours=1)  # that a sender's clock may be
NO_PARENT = (b"", bytes(8))
MAX_ATTRIBUTES = 128  # of a span; OpenTelemetry's own default
MAX_KEY, MAX_CHARS, MAX_BODY_CHARS = 200, 4000, 200_000
MAX_OF_RESOURCE = 200  # characters of each value
MAX_NUMBER = 2**31 - 1  # of a column
CUT = "…"

INPUTS = ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.prompt", "gen_ai.tool.definitions")
OUTPUTS = ("gen_ai.output.messages", "gen_ai.completion")
ARGUMENTS, RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
CONTENT = (*INPUTS, *OUTPUTS, ARGUMENTS, RESULT)
KEPT_OF_RESOURCE = ("service.name", "service.version", "deployment.environment.name", "telemetry.sdk.name")


@dataclass(slots=True)
class Reading:
    """What can be stored, and for each span that can't, why."""

    spans: list[Recorded] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)


class _Bad(Exception):
    """This span can't be stored."""


def read_spans(request: ExportTraceServiceRequest, *, now: datetime) -> Reading:
    """Each span of the request. A span belongs to no run, whatever it says."""
    reading = Reading()
    for resource in request.resource_spans:
        about = _kept(from_attributes(resource.resource.attributes))
        for scope in resource.scope_spans:
            for sent in scope.spans:
                try:
                    reading.spans.append(_recorded(sent, about, now))
                except _Bad as bad:
                    reading.rejected.append(str(bad))
    return reading


def _recorded(sent: trace_pb2.Span, about: Mapping[str, Any], now: datetime) -> Recorded:
    span_id = _id(sent.span_id, 8, "span id")
    trace_id = _id(sent.trace_id, 16, "trace id")
    parent_id = _id(sent.parent_span_id, 8, "parent's id") if sent.parent_span_id not in NO_PARENT else ""
    if not sent.start_time_unix_nano:
        raise _Bad(f"span {span_id}: it has no start")
    started_at = _moment(sent.start_time_unix_nano)
    ended_at = max(started_at, _moment(sent.end_time_unix_nano)) if sent.end_time_unix_nano else None
    if (ended_at or started_at) > now + AHEAD:
        raise _Bad(f"span {span_id}: it lies in the future")
    given = _Attributes(from_attributes(sent.attributes))
    for event in sent.events:
        given.add_event(event.name, from_attributes(event.attributes))
    model = given.text(
        "gen_ai.request.model", "gen_ai.response.model", limit=128
    )  # as of ours: what was asked for
    span = Span(
        id=span_id,
        trace_id=trace_id,
        parent_id=parent_id,
        name=_text(sent.name, 200) or "unnamed",
        operation=given.text("gen_ai.operation.name", "gatehouse.operation", limit=32),
        started_at=started_at,
        ended_at=ended_at,
        status=_status(sent, ended_at),
        error_type=given.text("error.type", "exception.type", limit=64),
        agent=given.text("gen_ai.agent.name", limit=64) or _text(about.get("service.name"), 64),
        agent_version=given.number("gen_ai.agent.version"),
        provider=given.text("gen_ai.provider.name", "gen_ai.system", limit=32),
        model=model,
        tool=given.text("gen_ai.tool.name", limit=128),
        simulated=given.take("gatehouse.simulated") is True,
    )
    if not span.operation and model and given.has("gen_ai.usage."):
        span.operation = "chat"
    if span.operation in MODEL_OPERATIONS:
        given.count_tokens(span)
    recorded = Recorded(span=span)
    recorded.input, recorded.output = given.bodies()
    span.preview = "" if span.tool else _preview(recorded.input)
    span.attributes = given.rest(about, sent.status.message)
    return recorded


def _kept(about: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a resource, bounded before it is copied into each of its spans."""
    kept = redact({key: about[key] for key in KEPT_OF_RESOURCE if key in about})
    return {key: _short(value, MAX_OF_RESOURCE) for key, value in kept.items()}


def _id(raw: bytes, length: int, what: str) -> str:
    if len(raw) != length or not any(raw):
        raise _Bad(f"a span's {what} is not {length} bytes that are not all zero: {raw[:16].hex() or 'none'}")
    return raw.hex()


def _moment(nanoseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _status(sent: trace_pb2.Span, ended_at: datetime | None) -> str:
    if sent.status.code == trace_pb2.Status.STATUS_CODE_ERROR:
        return SpanStatus.ERROR
    return SpanStatus.UNSET if ended_at is None else SpanStatus.OK


class _Attributes:
    """What a span tells of itself; what became a column is taken out."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._bodies = {key: given.pop(key) for key in CONTENT if key in given}

    def add_event(self, name: str, given: dict[str, Any]) -> None:
        """Of what happened within the span: prompts and answers, and the kind of an exception."""
        for key in CONTENT:
            if key in given:
                self._bodies.setdefault(key, given[key])
        if name == "exception":
            self._given.setdefault("exception.type", given.get("exception.type"))
            self._given.setdefault("exception.message", given.get("exception.message"))

    def take(self, key: str) -> Any:
        return self._given.pop(key, None)

    def has(self, beginning: str) -> bool:
        return any(key.startswith(beginning) for key in self._given)

    def text(self, *keys: str, limit: int) -> str:
        """The first of these that is there; the others stay attributes."""
        for key in keys:
            if text := _text(self._given.get(key), limit):
                del self._given[key]
                return text
        return ""

    def number(self, *keys: str) -> int | None:
        """The first of these that is a whole number which a column can hold."""
        for key in keys:
            value = self._given.get(key)
            if isinstance(value, str) and value.isdecimal() and len(value) < 10:
                value = int(value)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER:
                del self._given[key]
                return value
        return None

    def count_tokens(self, span: Span) -> None:
        """The conventions' input tokens have those of the cache among them; here each token is in one bucket.

        Where they are fewer than those of the cache, the sender left these out already.
        """
        sent = self.number("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
        read = self.number("gen_ai.usage.cache_read.input_tokens")
        written = self.number("gen_ai.usage.cache_creation.input_tokens")
        cached = (read or 0) + (written or 0)
        span.input_tokens = sent - cached if sent is not None and sent >= cached else sent
        span.cache_read_tokens, span.cache_write_tokens = read, written
        span.output_tokens = self.number("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")

    def bodies(self) -> tuple[Any, Any]:
        """Input and output; what is written as JSON within a text is read."""
        given = {key: _bounded(_opened(value)) for key, value in self._bodies.items()}
        asked = {
            key.removeprefix("gen_ai.").replace("input.", ""): given[key] for key in INPUTS if key in given
        }
        said = [given[key] for key in OUTPUTS if key in given]
        return given.get(ARGUMENTS, asked or None), given.get(RESULT, said[0] if said else None)

    def rest(self, about: Mapping[str, Any], message: str) -> dict[str, Any]:
        """All else, and who sent it."""
        self._given |= {f"resource.{key}": value for key, value in about.items()}
        if message:
            self._given["status.message"] = message
        kept = [(key, value) for key, value in self._given.items() if value is not None][:MAX_ATTRIBUTES]
        return {_text(key, MAX_KEY): _short(value) for key, value in redact(dict(kept)).items()}


def _text(value: Any, limit: int) -> str:
    """Redacted before it is cut: half a secret looks like none."""
    return redact_text(value)[:limit] if isinstance(value, str) else ""


def _short(value: Any, limit: int = MAX_CHARS) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit] + CUT
    if isinstance(value, list | dict) and len(text := to_json(value).decode()) > limit:
        return text[:limit] + CUT
    return value


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return from_json(value, allow_inf_nan=False)
        except ValueError:
            return value
    return value


def _bounded(value: Any) -> Any:
    value = redact(value)
    text = value if isinstance(value, str) else to_json(value, inf_nan_mode="strings").decode()
    return value if len(text) <= MAX_BODY_CHARS else text[:MAX_BODY_CHARS] + CUT


def _preview(asked: Any) -> str:
    """How the last thing that was said to it begins."""
    messages = asked.get("messages") if isinstance(asked, dict) else None
    if not isinstance(messages, list):
        return ""
    for message in reversed(messages):
        for text in _texts(message):
            return text[:PREVIEW_CHARS]
    return ""


def _texts(message: Any) -> Iterator[str]:
    if not isinstance(message, dict) or message.get("role") != "user":
        return
    parts = message.get("parts")
    for part in (message, *(parts if isinstance(parts, list) else ())):
        if isinstance(part, dict):
            yield from (
                part[key] for key in ("content", "text") if isinstance(part.get(key), str) and part[key]
            )
