"""Our spans on their way out: each at least once, whatever the receiver does, and a whole trace at its end."""

import gzip
from collections.abc import Iterator, Sequence
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from structlog.testing import capture_logs

from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from console.services.diagnosis import _export
from console.tasks import export_spans
from tests import world
from tests.integration.console.callers import Caller
from tests.serving import reply, serving
from traces.ids import new_span_id
from traces.models import Export, ExportedSpan, ForeignTrace, Span, SpanBody
from traces.otlp import wire
from traces.otlp.export import OVERLAP, ROW, STEP, export_due
from traces.otlp.values import from_attributes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("TRC-5")]


def spans_of(body: bytes) -> Sequence[Sent]:
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    return request.resource_spans[0].scope_spans[0].spans


class Receiver:
    """What came, and how the next requests are answered."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.asked = 0
        self.headers: list[Any] = []
        self.bodies: list[bytes] = []  # of those that were taken
        self.bad: set[str] = set()  # spans for which a whole request is refused
        self.refusal = 400

    def judge(self, body: bytes) -> int:
        return self.refusal if self.bad & {span.span_id.hex() for span in spans_of(body)} else 200

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked += 1
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.headers.append(handler.headers)
        status = self.statuses.pop(0) if self.statuses else self.judge(body)
        if status == 200:
            assert handler.path == "/v1/traces"
            self.bodies.append(body)
        reply(handler, status, Retry_After="60")

    @property
    def spans(self) -> list[Sent]:
        return [span for body in self.bodies for span in spans_of(body)]

    @property
    def ids(self) -> list[str]:
        return [span.span_id.hex() for span in self.spans]


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A receiver to which the export goes, which has begun."""
    taker = Receiver()
    with serving(taker.answer) as port:
        settings.OTLP_ENDPOINT = f"http://127.0.0.1:{port}/v1/traces"
        settings.OTLP_HEADERS = {"authorization": "Bearer of-the-receiver"}
        export_due(now=timezone.now())
        yield taker


def ended(ago: timedelta = timedelta(0), **values: Any) -> Span:
    at = timezone.now() - ago
    names = {"name": "search_memory", "operation": "search_memory", "trace_id": new_span_id() * 2}
    return Span.objects.create(started_at=at, ended_at=at, status="ok", **(names | values))


def test_a_trace_goes_out_without_what_was_said_and_comes_in_as_it_was(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    world.publish_agent()
    script = [call("get_balance", account="acme"), call("pay", account="acme", amount=5), say("Paid.")]
    with using(Scripted(script)):
        run = world.carry_on_approved(world.carry_on(world.start()))
    assert run.is_final
    export_spans()
    own = {span.pk: span for span in Span.objects.filter(trace_id=run.trace_id)}
    assert len(own) > 5
    assert sorted(receiver.ids) == sorted(own)
    assert receiver.headers[0]["Authorization"] == "Bearer of-the-receiver"
    told = str([[span.name, from_attributes(span.attributes)] for span in receiver.spans])
    assert "Pay what we owe" not in told
    assert "gen_ai.input.messages" not in told
    assert "decided_by" not in told

    SpanBody.objects.all().delete()
    Span.objects.all().delete()
    other = Caller("other", "service", "traces", "read")
    for body in receiver.bodies:
        taken = other.client.post(
            "/v1/traces", body, content_type=wire.PROTOBUF, headers={"content-encoding": "gzip"}
        )
        assert (taken.status_code, taken.content) == (200, b"")
    kept = [
        *("trace_id", "parent_id", "name", "operation", "started_at", "ended_at", "status", "error_type"),
        *("agent", "agent_version", "provider", "model", "tool", "simulated"),
        *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"),
    ]
    for span in Span.objects.all():
        before = own.pop(span.pk)
        assert [getattr(span, name) for name in kept] == [getattr(before, name) for name in kept]
        assert span.run_id is None
        assert span.attributes["gatehouse.run.id"] == str(run.pk)
    assert own == {}
    assert len(other.get(f"/traces/{run.trace_id}")["spans"]) == Span.objects.count()


def test_prompts_and_answers_go_out_where_somebody_asked_for_them(receiver: Receiver, settings: Any) -> None:
    settings.OTLP_CONTENTS = True
    world.publish_agent()
    with using(Scripted([say("Nothing to pay.")])):
        run = world.carry_on(world.start())
    export_spans()
    chat = next(from_attributes(span.attributes) for span in receiver.spans if span.name.startswith("chat"))
    assert "Pay what we owe to acme." in chat["gen_ai.input.messages"]
    assert "Nothing to pay." in chat["gen_ai.output.messages"]
    assert run.trace_id == receiver.spans[0].trace_id.hex()


def test_what_was_not_taken_is_sent_again_after_a_pause(receiver: Receiver) -> None:
    span, now = ended(), timezone.now()
    receiver.statuses = [503, 404]
    assert export_due(now=now) == 0
    assert export_due(now=now + timedelta(seconds=59)) == 0  # Retry-After was 60
    assert receiver.asked == 1
    assert export_due(now=now + timedelta(seconds=61)) == 0
    assert receiver.asked == 2
    [finding] = list(_export())
    assert finding.found.startswith("2 attempts in a row failed")
    assert "answered 404" in finding.found
    assert finding.to_do
    assert export_due(now=now + timedelta(seconds=200)) == 1
    assert receiver.ids == [span.pk]
    assert not next(iter(_export())).to_do
    assert export_due(now=now + timedelta(seconds=300)) == 0
    assert receiver.asked == 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_is_refused_takes_nothing_with_it_and_blocks_nothing(receiver: Receiver, status: int) -> None:
    spans = [ended().pk for _ in range(20)]
    receiver.bad, receiver.refusal = {spans[0], spans[7], spans[19]}, status
    now = timezone.now()
    with capture_logs() as logs:
        assert export_due(now=now) == 17
    assert receiver.ids == [pk for pk in spans if pk not in receiver.bad]
    assert [line["span"] for line in logs if line["event"] == "export.refused"] == sorted(
        receiver.bad, key=spans.index
    )
    [finding] = list(_export())
    assert f"3 never went out, since they were refused for good, last span {spans[19]}" in finding.found
    assert f"It answered {status}." in finding.found
    asked, later = receiver.asked, ended().pk
    assert export_due(now=now) == 1
    assert (receiver.asked, receiver.ids[-1]) == (asked + 1, later)


def test_a_slow_refusal_or_a_receiver_that_goes_away_meanwhile_begins_no_halving_anew(
    receiver: Receiver,
) -> None:
    spans, now = [ended().pk for _ in range(8)], timezone.now()
    receiver.bad = set(spans[:1])
    for turn in range(4):  # one request each: 8 spans, 4, 2, 1
        assert export_due(now=now, seconds=0) == 0
        receiver.statuses = [503] if turn == 1 else []
        export_due(now=now, seconds=0) if turn == 1 else None
        Export.objects.update(retry_at=None)
    assert export_due(now=now) == 7
    assert receiver.ids == spans[1:]


def test_a_conversation_that_was_summarised_goes_out_with_its_words(
    receiver: Receiver, settings: Any
) -> None:
    settings.OTLP_CONTENTS = True
    old, odd, plain = (ended(operation="chat") for _ in range(3))
    SpanBody.objects.create(span=old, input={"messages": ["What was told."]}, output={"text": "A summary."})
    SpanBody.objects.create(span=odd, input={"messages": 5}, output=None)
    assert export_due(now=timezone.now()) == 2
    assert receiver.ids == [old.pk, plain.pk]  # what can't be written blocks nothing either
    assert "What was told." in str(receiver.spans[0].attributes)


def test_a_receiver_that_is_away_fails_nothing(settings: Any) -> None:
    settings.OTLP_ENDPOINT = "http://127.0.0.1:9/v1/traces"
    export_spans()
    ended()
    export_spans()
    assert Export.objects.get(pk=ROW).failures == 1


def test_a_span_that_is_committed_late_is_sent_and_nothing_is_sent_twice(receiver: Receiver) -> None:
    Export.objects.update(position=timezone.now() - timedelta(hours=2))
    first = ended()
    now = timezone.now()
    assert export_due(now=now) == 1
    late = ended(OVERLAP - timedelta(minutes=1))
    assert export_due(now=now) == 1
    assert receiver.ids == [first.pk, late.pk]
    for _ in range(3):
        assert export_due(now=now) == 0
    assert len(receiver.ids) == 2


def test_the_position_follows_and_forgets_by_steps(receiver: Receiver) -> None:
    now = timezone.now()
    Export.objects.update(position=now - OVERLAP - 3 * STEP)
    for place in (0, 2, 4):
        ended(OVERLAP + 3 * STEP - place * STEP)
    assert export_due(now=now) == 3
    assert Export.objects.get(pk=ROW).position == now - OVERLAP - 2 * STEP
    assert ExportedSpan.objects.count() == 2
    for _ in range(4):
        export_due(now=now)
    assert Export.objects.get(pk=ROW).position == now - OVERLAP
    assert (len(receiver.ids), ExportedSpan.objects.count()) == (3, 1)


def test_what_others_sent_what_is_open_and_what_was_before_stays_here(
    settings: Any, receiver: Receiver
) -> None:
    foreign = ended()
    ForeignTrace.objects.create(trace_id=foreign.trace_id, sender_id=1, at=timezone.now())
    ended(timedelta(days=1))
    Span.objects.create(name="open", operation="chat", trace_id="ab" * 16, started_at=timezone.now())
    assert export_due(now=timezone.now()) == 0
    assert receiver.asked == 0


def test_one_worker_sends_at_a_time_and_one_that_died_is_followed(receiver: Receiver) -> None:
    ended()
    now = timezone.now()
    Export.objects.update(taken_until=now + timedelta(seconds=60))
    assert export_due(now=now) == 0
    assert export_due(now=now + timedelta(seconds=61)) == 1


def test_without_an_endpoint_nothing_is_looked_for(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert export_due(now=timezone.now()) == 0
    assert list(_export()) == []
