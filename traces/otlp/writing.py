"""Our spans as OTLP, by the GenAI semantic conventions; what these don't name is called `gatehouse.…`."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2
from pydantic_core import to_json

from traces.models import Span, SpanStatus
from traces.otlp.reading import EPOCH
from traces.otlp.values import to_attributes
from traces.queries.totals import MODEL_OPERATIONS
from traces.recorder import Recorded, answer_as_message

NAMED = {*MODEL_OPERATIONS, "retrieval", "create_agent", "invoke_agent", "execute_tool", "invoke_workflow"}
MICROSECOND = timedelta(microseconds=1)
# What people and programs wrote, or who they are: it goes out with prompts and answers only.
PRIVATE = ("gatehouse.approval.reason", "gatehouse.approval.decided_by", "gatehouse.idempotency_key")


def write_request(recorded: Iterable[Recorded], *, contents: bool) -> ExportTraceServiceRequest:
    """A request with these spans, which have ended; with `contents`, what went into them and came out, too."""
    about = {"service.name": "gatehouse", "service.version": version("gatehouse")}
    spans = trace_pb2.ScopeSpans(
        scope=InstrumentationScope(name="gatehouse"),
        spans=[write_span(item, contents=contents) for item in recorded],
    )
    resource = Resource(attributes=to_attributes(about))
    return ExportTraceServiceRequest(
        resource_spans=[trace_pb2.ResourceSpans(resource=resource, scope_spans=[spans])]
    )


def write_span(recorded: Recorded, *, contents: bool) -> trace_pb2.Span:
    """One span."""
    span = recorded.span
    attributes = _attributes(span) | (_contents(recorded) if contents else {})
    if not contents:
        attributes = {key: value for key, value in attributes.items() if key not in PRIVATE}
    is_error = span.status == SpanStatus.ERROR
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.pk),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=trace_pb2.Span.SPAN_KIND_CLIENT
        if span.operation in MODEL_OPERATIONS
        else trace_pb2.Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=_nanoseconds(span.started_at),
        end_time_unix_nano=_nanoseconds(span.ended_at) if span.ended_at else 0,
        attributes=to_attributes(attributes),
        status=trace_pb2.Status(
            code=trace_pb2.Status.STATUS_CODE_ERROR if is_error else trace_pb2.Status.STATUS_CODE_OK
        ),
    )


def _attributes(span: Span) -> dict[str, Any]:
    is_named = span.operation in NAMED
    buckets = (span.input_tokens, span.cache_read_tokens, span.cache_write_tokens)
    own: dict[str, Any] = span.attributes
    return own | {
        "gen_ai.operation.name" if is_named else "gatehouse.operation": span.operation,
        "gen_ai.provider.name": span.provider,
        "gen_ai.request.model": span.model,
        "gen_ai.usage.input_tokens": None
        if span.input_tokens is None
        else sum(part or 0 for part in buckets),
        "gen_ai.usage.cache_read.input_tokens": span.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": span.cache_write_tokens,
        "gen_ai.usage.output_tokens": span.output_tokens,
        "gen_ai.tool.name": span.tool,
        "gen_ai.agent.name": span.agent,
        "gen_ai.agent.version": None if span.agent_version is None else str(span.agent_version),
        "error.type": span.error_type,
        "gatehouse.run.id": str(span.run_id) if span.run_id else None,
        "gatehouse.cost_usd": None if span.cost_usd is None else float(span.cost_usd),
        "gatehouse.simulated": span.simulated or None,
    }


def _contents(recorded: Recorded) -> dict[str, Any]:
    """As JSON in texts, which every backend takes."""
    asked, said = recorded.input, recorded.output
    if recorded.span.operation == "execute_tool":
        return _written({"gen_ai.tool.call.arguments": asked, "gen_ai.tool.call.result": said})
    if recorded.span.operation not in MODEL_OPERATIONS or not isinstance(asked, dict):
        return _written({"gatehouse.input": asked, "gatehouse.output": said})
    answer = answer_as_message(said)
    return _written(
        {
            "gen_ai.system_instructions": _texts(asked.get("system_instructions")),
            "gen_ai.input.messages": [_message(message) for message in asked.get("messages") or ()],
            "gen_ai.output.messages": [_message(answer)] if answer else said,
        }
    )


def _message(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        return {"role": "user", "parts": _texts(message) or []}
    calls = [
        {"type": "tool_call", "name": call.get("name"), "arguments": call.get("arguments")}
        for call in message.get("tool_calls") or ()
    ]
    return {"role": message.get("role"), "parts": [*(_texts(message.get("text")) or ()), *calls]}


def _texts(text: Any) -> list[dict[str, Any]] | None:
    return [{"type": "text", "content": text}] if text else None


def _written(values: dict[str, Any]) -> dict[str, str]:
    return {key: to_json(value).decode() for key, value in values.items() if value is not None}


def _nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND * 1000
