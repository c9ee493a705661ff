"""OTLP as it arrives: both encodings, the conventions, and whatever else somebody may send."""

import gzip
import json
import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from traces.models import Span as Row
from traces.otlp import wire
from traces.otlp.reading import MAX_CHARS, Reading, read_spans
from traces.otlp.values import from_attributes, to_attributes

pytestmark = pytest.mark.req("TRC-5")
NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
START = 1_795_000_000_000_000_000  # ns, a week before


def request(*spans: Span, **resource: Any) -> ExportTraceServiceRequest:
    about = Resource(attributes=to_attributes(resource))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=about, scope_spans=[ScopeSpans(spans=spans)])]
    )


def sent(attributes: dict[str, Any] | None = None, **values: Any) -> Span:
    start = {"start_time_unix_nano": START, "end_time_unix_nano": START + 2_000_000}
    ids = {"trace_id": b"\x01" * 16, "span_id": b"\x02" * 8}
    return Span(**{"name": "chat", **ids, **start, **values}, attributes=to_attributes(attributes or {}))


def read(*spans: Span, **resource: Any) -> Reading:
    return read_spans(request(*spans, **resource), now=NOW)


def read_one(attributes: dict[str, Any] | None = None, **values: Any) -> Any:
    reading = read(sent(attributes, **values))
    assert reading.rejected == []
    return reading.spans[0]


def test_what_a_resource_says_is_bounded_once_not_for_each_of_its_spans() -> None:
    spans = [sent(span_id=number.to_bytes(8)) for number in range(1, 201)]
    start = time.process_time()
    reading = read(*spans, **{"service.name": "x" * 1_000_000, "service.version": ["y" * 1_000_000]})
    assert time.process_time() - start < 3
    for item in reading.spans:
        assert len(item.span.agent) == 64
        assert len(str(item.span.attributes)) < 1000


def as_json(message: ExportTraceServiceRequest) -> bytes:
    """As OTLP has it: ids in hex, enums as numbers."""
    document = MessageToDict(message, use_integers_for_enums=True)
    for resource, plain in zip(document.get("resourceSpans", ()), message.resource_spans, strict=True):
        for scope, of in zip(resource.get("scopeSpans", ()), plain.scope_spans, strict=True):
            for span, raw in zip(scope.get("spans", ()), of.spans, strict=True):
                names = {"traceId": raw.trace_id, "spanId": raw.span_id, "parentSpanId": raw.parent_span_id}
                span |= {name: value.hex().upper() for name, value in names.items() if value}
    return json.dumps(document).encode()


values = st.recursive(
    st.text(max_size=20)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "gen_ai.operation.name",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "error.type",
]
KEYS += [
    "gen_ai.input.messages",
    "gen_ai.tool.call.arguments",
    "gen_ai.response.model",
    "gen_ai.agent.version",
]
spans = st.builds(
    lambda attributes, **columns: Span(**columns, attributes=to_attributes(attributes)),
    attributes=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), values, max_size=6),
    name=st.text(max_size=12),
    trace_id=st.binary(max_size=17) | st.binary(min_size=16, max_size=16),
    span_id=st.binary(max_size=9) | st.binary(min_size=8, max_size=8),
    parent_span_id=st.binary(min_size=8, max_size=8) | st.just(b""),
    start_time_unix_nano=st.integers(0, 2**64 - 1) | st.just(START),
    end_time_unix_nano=st.integers(0, 2**64 - 1) | st.just(START + 7),
    status=st.builds(Status, code=st.integers(0, 2), message=st.text(max_size=5)),
)


def rows(reading: Reading) -> list[Any]:
    names = [column.attname for column in Row._meta.concrete_fields]
    return [([getattr(one.span, name) for name in names], one.input, one.output) for one in reading.spans]


@given(st.lists(spans, max_size=4))
def test_both_encodings_of_a_request_give_the_same_rows(sent_spans: list[Span]) -> None:
    message = request(*sent_spans)
    by_protobuf = wire.read(message.SerializeToString(), content_type=wire.PROTOBUF)
    by_json = wire.read(gzip.compress(as_json(message)), content_type=wire.JSON, encoding="gzip")
    first, second = read_spans(by_protobuf, now=NOW), read_spans(by_json, now=NOW)
    assert rows(first) == rows(second)
    assert len(first.rejected) == len(second.rejected)
    for recorded in first.spans:
        json.dumps([recorded.span.attributes, recorded.input, recorded.output], allow_nan=False)
        assert "\x00" not in str(rows(first))
        assert recorded.span.run_id is None


LIKE_A_REQUEST = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "traceId", "links", "attributes", "value", "kind"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(
    st.binary(max_size=200),
    st.sampled_from([wire.PROTOBUF, wire.JSON, "", "text/plain"]),
    st.sampled_from(["", "gzip", "br"]),
)
def test_bytes_of_any_kind_are_read_or_refused(data: bytes, content_type: str, encoding: str) -> None:
    assert is_accounted_for(data, content_type, encoding)


@given(LIKE_A_REQUEST)
def test_json_of_any_shape_is_read_or_refused(document: Any) -> None:
    for shaped in (document, {"resourceSpans": [{"scopeSpans": [{"spans": [document]}]}]}):
        assert is_accounted_for(json.dumps(shaped).encode(), wire.JSON, "")


@pytest.mark.parametrize(
    "text", ["[" * 5000, '{"a":' * 5000, "null", "[]", '{"resourceSpans": {"a": 1}}', "\\u0000", '"\\ud800"']
)
def test_json_that_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(wire.Refused) as refused:
        wire.read(text.encode(), content_type=wire.JSON)
    assert refused.value.status == 400


def is_accounted_for(data: bytes, content_type: str, encoding: str) -> bool:
    """Whether the request is refused in the protocol's words, or each of its spans is read or rejected."""
    try:
        message = wire.read(data, content_type=content_type, encoding=encoding)
    except wire.Refused as refused:
        return refused.status in (400, 413, 415)
    reading = read_spans(message, now=NOW)
    sent = [
        span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]
    return len(reading.spans) + len(reading.rejected) == len(sent)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"\x00" * (wire.MAX_UNPACKED * 8))
    assert len(bomb) < wire.MAX_BYTES
    tracemalloc.start()
    try:
        with pytest.raises(wire.Refused) as refused:
            wire.read(bomb, content_type=wire.PROTOBUF, encoding="gzip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < 3 * wire.MAX_UNPACKED


@pytest.mark.parametrize(
    ("data", "encoding", "status"),
    [
        (b"x" * (wire.MAX_BYTES + 1), "", 413),
        (gzip.compress(b"")[:-4], "gzip", 400),
        (gzip.compress(b"") * 2, "gzip", 400),
        (b"", "deflate", 415),
    ],
)
def test_what_is_too_large_or_packed_otherwise_is_refused(data: bytes, encoding: str, status: int) -> None:
    with pytest.raises(wire.Refused) as refused:
        wire.read(data, content_type=wire.PROTOBUF, encoding=encoding)
    assert refused.value.status == status


def test_too_many_spans_are_refused() -> None:
    many = request(*[Span()] * (wire.MAX_SPANS + 1)).SerializeToString()
    with pytest.raises(wire.Refused, match="10,001 spans"):
        wire.read(many, content_type=wire.PROTOBUF)


@pytest.mark.parametrize(
    "values",
    [
        {"span_id": b""},
        {"span_id": bytes(8)},
        {"trace_id": bytes(16)},
        {"trace_id": b"\x01" * 15},
        {"parent_span_id": b"\x01"},
        {"start_time_unix_nano": 0},
        {"start_time_unix_nano": 2**64 - 1},
        {"end_time_unix_nano": 2**64 - 1},
    ],
)
def test_a_span_that_cannot_be_stored_is_rejected_and_the_others_are_not(values: dict[str, Any]) -> None:
    reading = read(sent(**values), sent(span_id=b"\x03" * 8))
    assert [one.span.pk for one in reading.spans] == ["03" * 8]
    assert len(reading.rejected) == 1


def test_an_id_in_json_that_is_no_hex_is_rejected() -> None:
    for name in ("traceId", "spanId", "parentSpanId"):
        document = json.loads(as_json(request(sent(parent_span_id=b"\x04" * 8))))
        document["resourceSpans"][0]["scopeSpans"][0]["spans"][0][name] = "xyz"
        message = wire.read(json.dumps(document).encode(), content_type=wire.JSON)
        assert len(read_spans(message, now=NOW).rejected) == 1


def test_a_call_of_a_model_is_read_by_the_conventions() -> None:
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Where is it?"}]}]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "Here."}]}]
    recorded = read_one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.response.model": "claude-sonnet-4-5-20250929",
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 60,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.agent.name": "finder",
            "gen_ai.agent.version": "3",
            "gen_ai.system_instructions": "Find things.",
            "gen_ai.input.messages": json.dumps(asked),
            "gen_ai.output.messages": said,
            "gen_ai.request.temperature": 0.5,
        }
    )
    span = recorded.span
    assert (span.operation, span.provider, span.model) == ("chat", "anthropic", "claude-sonnet-4-5")
    assert (span.input_tokens, span.cache_read_tokens, span.cache_write_tokens, span.output_tokens) == (
        30,
        60,
        10,
        7,
    )
    assert (span.agent, span.agent_version, span.status, span.duration_ms) == ("finder", 3, "ok", 2)
    assert recorded.input == {"system_instructions": "Find things.", "messages": asked}
    assert recorded.output == said
    assert span.preview == "Where is it?"
    assert span.attributes == {
        "gen_ai.response.model": "claude-sonnet-4-5-20250929",
        "gen_ai.request.temperature": 0.5,
    }


def test_tokens_that_leave_out_those_of_the_cache_are_kept_as_they_are() -> None:
    usage = {"gen_ai.usage.input_tokens": 5, "gen_ai.usage.cache_read.input_tokens": 60}
    span = read_one({"gen_ai.operation.name": "chat", **usage}).span
    assert (span.input_tokens, span.cache_read_tokens) == (5, 60)


def test_tokens_stand_at_calls_of_models_only() -> None:
    span = read_one({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 5}).span
    assert span.input_tokens is None
    assert span.attributes == {"gen_ai.usage.input_tokens": 5}


@pytest.mark.parametrize("value", [-1, 2**31, 1.5, True, "many", [1], ""])
def test_numbers_that_no_column_holds_are_left_among_the_attributes(value: Any) -> None:
    span = read_one({"gen_ai.operation.name": "chat", "gen_ai.usage.output_tokens": value}).span
    assert span.output_tokens is None


def test_a_call_of_a_tool_and_an_error_are_read_by_the_conventions() -> None:
    exception = Span.Event(name="exception", attributes=to_attributes({"exception.type": "TimeoutError"}))
    recorded = read_one(
        {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "look_up",
            "gen_ai.tool.call.arguments": '{"id": 7, "continues": "0202020202020202"}',
            "gen_ai.tool.call.result": "not there",
        },
        status=Status(code=Status.STATUS_CODE_ERROR, message="too slow"),
        events=[exception],
    )
    assert (recorded.span.tool, recorded.span.status, recorded.span.error_type) == (
        "look_up",
        "error",
        "TimeoutError",
    )
    assert (recorded.input["id"], recorded.output) == (7, "not there")
    assert recorded.span.attributes == {"status.message": "too slow"}


def test_a_span_without_an_end_is_open_and_its_service_names_the_agent() -> None:
    span = read(sent(end_time_unix_nano=0), **{"service.name": "shop"}).spans[0].span
    assert (span.ended_at, span.status, span.agent) == (None, "unset", "shop")
    assert span.attributes == {"resource.service.name": "shop"}


def test_secrets_are_redacted_before_texts_are_cut() -> None:
    secret = "sk-" + "a" * 40
    recorded = read_one(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.input.messages": [{"role": "user", "content": f"Use {secret}"}],
            "api_key": "hunter2",
            "note": "x" * (MAX_CHARS - 10) + secret,
            secret: 1,
        },
        name="y" * 190 + secret,
        status=Status(message=secret),
    )
    whole = str([vars(recorded.span), recorded.input])
    assert "sk-a" not in whole
    assert "hunter2" not in whole


def test_an_answer_tells_in_the_encoding_of_the_request_what_was_rejected() -> None:
    told = ExportTraceServiceResponse.FromString(wire.answer(wire.PROTOBUF, rejected=2, message="no start"))
    assert (told.partial_success.rejected_spans, told.partial_success.error_message) == (2, "no start")
    assert json.loads(wire.answer(wire.JSON)) == {}
    assert json.loads(wire.answer(wire.JSON, rejected=2))["partialSuccess"]["rejectedSpans"] == "2"


def test_a_refusal_is_a_status_of_grpc() -> None:
    from google.rpc.status_pb2 import Status as RpcStatus

    status = RpcStatus.FromString(wire.refusal(wire.PROTOBUF, code=16, message="Send a token."))
    assert (status.code, status.message) == (16, "Send a token.")


@given(st.dictionaries(st.text(min_size=1, max_size=5), values.filter(lambda value: value != ""), max_size=4))
def test_values_come_back_as_they_went(attributes: dict[str, Any]) -> None:
    assert from_attributes(to_attributes(attributes)) == attributes
