"""Spans that programs send: stored once, kept apart from ours and from each other's, and shown as what they are."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from google.rpc.status_pb2 import Status as RpcStatus
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from tests import world
from tests.integration.console.callers import Caller
from traces.alerts.breakers import cost_of_last_hour
from traces.models import ForeignTrace, Span, SpanBody
from traces.otlp import wire
from traces.otlp.values import to_attributes
from traces.queries.totals import totals

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("TRC-5")]
TRACE = "ab" * 16


def span(span_id: str = "01" * 8, trace: str = TRACE, *, ended: bool = True, **values: Any) -> Sent:
    start = int(timezone.now().timestamp()) * 10**9
    attributes = to_attributes(values.pop("attributes", {}))
    return Sent(
        trace_id=bytes.fromhex(trace),
        span_id=bytes.fromhex(span_id),
        start_time_unix_nano=start,
        end_time_unix_nano=start + 5_000_000 if ended else 0,
        attributes=attributes,
        **{"name": "invoke_agent finder", **values},
    )


MODEL: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 100,
}


def send(caller: Caller, *spans: Sent, **headers: str) -> Any:
    """The answer, whose `rejected` is how many were not taken."""
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])
    answer: Any = caller.client.post(
        "/v1/traces", request.SerializeToString(), content_type=wire.PROTOBUF, headers=headers
    )
    assert answer["Content-Type"] == wire.PROTOBUF
    if answer.status_code == 200:
        answer.rejected = ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans
    return answer


def test_the_exporter_of_the_sdk_can_send(live_server: Any) -> None:
    shop = Caller("shop", "service", "traces", "read")
    exporter = OTLPSpanExporter(
        endpoint=f"{live_server.url}/v1/traces", headers={"authorization": f"Bearer {shop.token}"}
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "shop-agent"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("invoke_agent finder", attributes={"gen_ai.agent.name": "finder"}):
        tracer.start_span("chat claude", attributes=MODEL).end()
    assert provider.force_flush()
    provider.shutdown()

    [trace] = shop.get("/traces")["items"]
    assert (trace["sent_by"], trace["agent"], trace["run"]) == ("shop", "finder", None)
    read = shop.get(f"/traces/{trace['trace_id']}")
    root, chat = read["spans"]
    assert chat["parent_id"] == root["id"]
    assert (chat["input_tokens"], chat["output_tokens"]) == (1000, 100)
    assert chat["cost_usd"] == pytest.approx((1000 * 3 + 100 * 15) / 1_000_000)


def test_what_is_sent_again_is_stored_once_and_an_end_completes_what_was_open() -> None:
    shop = Caller("shop", "service", "traces")
    assert send(shop, span(ended=False)).status_code == 200
    assert Span.objects.get().status == "unset"
    said = {"gen_ai.output.messages": "done"}
    assert send(shop, span(attributes=said)).rejected == 0
    assert (Span.objects.get().status, SpanBody.objects.get().output) == ("ok", "done")
    again = send(shop, span(name="other words"), span(ended=False))
    assert again.rejected == 0
    assert (Span.objects.get().name, Span.objects.get().status) == ("invoke_agent finder", "ok")


def test_retries_at_the_same_moment_are_taken_once_and_all_answered_well() -> None:
    shop = Caller("shop", "service", "traces")
    spans = [span(f"{number:016x}", attributes=MODEL) for number in range(1, 40)]

    def retry(turn: int) -> int:
        try:
            return int(send(shop, *(spans if turn % 2 else reversed(spans))).rejected)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(retry, range(8))) == [0] * 8
    assert Span.objects.count() == len(spans)


def test_nobody_can_change_hide_or_join_what_gatehouse_recorded() -> None:
    world.publish_agent()
    run = world.carry_on(world.start())
    before = sorted(map(str, Span.objects.values_list())), sorted(map(str, SpanBody.objects.values_list()))
    figures = totals([run.trace_id])
    evil = Caller("evil", "service", "traces", "read")
    model = Span.objects.filter(run_id=run.pk, operation="chat").first()
    assert model is not None
    attacks = [
        span(run.root_span_id, run.trace_id, name="nothing to see"),
        span(run.root_span_id, TRACE),
        span("0a" * 8, run.trace_id, parent_span_id=bytes.fromhex(model.pk), attributes=MODEL),
    ]
    for attack in attacks:
        assert send(evil, attack).rejected == 1
    assert send(evil, *attacks, span("0b" * 8, "cd" * 16)).rejected == 3
    assert Span.objects.exclude(pk="0b" * 8).count() == len(before[0])
    Span.objects.filter(pk="0b" * 8).delete()
    assert before == (
        sorted(map(str, Span.objects.values_list())),
        sorted(map(str, SpanBody.objects.values_list())),
    )
    assert totals([run.trace_id]) == figures
    evil.get(f"/traces/{run.trace_id}")
    assert evil.status == 404


def test_a_trace_belongs_to_the_user_who_sent_its_first_span() -> None:
    shop, twin = Caller("shop", "service", "traces", "read"), Caller("shop", "service", "traces", "read")
    evil = Caller("evil", "service", "traces", "read")
    send(shop, span(ended=False))
    assert send(evil, span(name="taken over")).rejected == 1
    assert send(evil, span("02" * 8)).rejected == 1
    assert send(evil, span(trace="ef" * 16)).rejected == 1
    assert Span.objects.get().status == "unset"
    child = span("02" * 8, parent_span_id=b"\x01" * 8)
    assert send(twin, child).rejected == 0  # another token of the same user
    assert len(twin.get(f"/traces/{TRACE}")["spans"]) == 2
    evil.get(f"/traces/{TRACE}")
    assert evil.status == 404
    assert evil.get("/traces")["items"] == []
    assert len(Caller("amir", "analyst").get("/traces")["items"]) == 1


def test_a_trace_id_taken_before_its_run_began_shows_nothing_of_the_run() -> None:
    evil = Caller("evil", "service", "traces", "read")
    world.publish_agent()
    run = world.start()
    ForeignTrace.objects.create(trace_id=run.trace_id, sender_id=evil.user.pk, at=timezone.now())
    evil.get(f"/traces/{run.trace_id}")
    assert evil.status == 404
    assert send(evil, span("0c" * 8, run.trace_id)).rejected == 1


def test_what_others_spend_trips_no_breaker_of_ours() -> None:
    shop = Caller("shop", "service", "traces")
    send(shop, span(attributes=MODEL | {"gen_ai.usage.output_tokens": 2_000_000_000}))
    assert Span.objects.get().cost_usd > 1000  # type: ignore[operator]
    assert cost_of_last_hour(now=timezone.now()) == 0


@pytest.mark.parametrize(
    ("role", "scopes", "status"),
    [
        ("service", ["read", "ask", "mcp", "run", "manage"], 403),
        ("analyst", ["traces"], 403),
        ("operator", ["traces"], 200),
        ("service", [], 200),
    ],
)
def test_it_takes_the_scope_and_a_role_that_does_things(role: str, scopes: list[str], status: int) -> None:
    answer = send(Caller("somebody", role, *scopes), span())
    assert answer.status_code == status
    assert Span.objects.count() == (1 if status == 200 else 0)


def test_every_refusal_is_a_status_in_the_encoding_of_the_request(client: Client, settings: Any) -> None:
    shop = Caller("shop", "service", "traces")
    cases = [
        (client.post("/v1/traces", b"", content_type=wire.PROTOBUF), 401, 16),
        (shop.client.post("/v1/traces", b"\xff", content_type=wire.PROTOBUF), 400, 3),
        (shop.client.post("/v1/traces", b"{", content_type=wire.JSON), 400, 3),
        (shop.client.post("/v1/traces", b"a", content_type="text/plain"), 415, 3),
        (
            shop.client.post("/v1/traces", b"a", content_type=wire.JSON, headers={"content-encoding": "br"}),
            415,
            3,
        ),
        (shop.client.post("/v1/traces", b" " * (wire.MAX_BYTES + 1), content_type=wire.JSON), 413, 3),
        (shop.client.get("/v1/traces"), 405, 12),
    ]
    settings.API_RATE = 0
    late = shop.client.post("/v1/traces", b"", content_type=wire.PROTOBUF)
    for answer, status, code in [*cases, (late, 429, 8)]:
        if answer["Content-Type"] == wire.PROTOBUF:
            told = RpcStatus.FromString(answer.content)
            found = {"code": told.code, "message": told.message}
        else:
            found = json.loads(answer.content)
        assert (answer.status_code, found["code"]) == (status, code)
        assert found["message"]
    assert late["Retry-After"].isdecimal()
    assert cases[0][0]["WWW-Authenticate"].startswith("Bearer")


def test_hostile_names_are_shown_as_words_and_break_no_page(client: Client) -> None:
    shop = Caller("shop", "service", "traces")
    evil = "<script>alert(1)</script>\u202e"
    attributes: dict[str, Any] = {
        "items": "x",
        "gatehouse.role": ["planner"],
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": evil,
        "gen_ai.agent.name": evil,
        "gen_ai.input.messages": {"continues": "01" * 8},
        evil: {evil: [evil]},
    }
    send(shop, span(name=evil, attributes=attributes))
    client.force_login(world.person("amir", "analyst"))
    for path in ("/traces", f"/traces/{TRACE}?span={'01' * 8}", f"/traces/{TRACE}/spans/{'01' * 8}"):
        answer = client.get(path)
        assert answer.status_code == 200
        html = answer.content.decode()
        assert "<script>alert" not in html
        assert "\u202e" not in html
    assert "sent by shop" in client.get("/traces").content.decode()
    assert "no run of Gatehouse" in client.get(f"/traces/{TRACE}").content.decode()


def test_arguments_that_name_a_span_of_ours_do_not_open_it() -> None:
    world.publish_agent()
    run = world.carry_on(world.start())
    body = SpanBody.objects.filter(span__run_id=run.pk, span__operation="chat").first()
    assert body is not None
    shop = Caller("shop", "service", "traces")
    arguments = {"gen_ai.tool.call.arguments": {"continues": body.pk}}
    send(shop, span(attributes={"gen_ai.operation.name": "execute_tool", **arguments}))
    amir = Client()
    amir.force_login(world.person("amir", "analyst"))
    assert amir.get(f"/traces/{TRACE}/spans/{'01' * 8}?raw").json()["input"] == {"continues": body.pk}
