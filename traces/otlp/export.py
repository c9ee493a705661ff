"""Sending our ended spans to another system, at least once each, and never while anything waits for it.

Spans have no number, and one may be committed after others that ended later. So all are asked for that ended since the
position and are not known to have gone out; the position follows the clock at a distance that no commit lags behind.
"""

import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2
import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from google.protobuf.message import DecodeError, EncodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from traces.models import Export, ExportedSpan, ForeignTrace, Span
from traces.otlp.wire import PROTOBUF
from traces.otlp.writing import write_request
from traces.queries.one_trace import MissingTrace, read_span
from traces.recorder import Recorded

log = structlog.get_logger(__name__)

OVERLAP = timedelta(minutes=15)  # between a span's end and its commit, clocks of workers included, at most
STEP = timedelta(
    seconds=30
)  # by which the position moves at most: after an outage workers still write what they did
BATCH, BATCH_WITH_CONTENTS = 500, 50  # spans of a request
SECONDS = 10.0  # for each wait of a request
AT_WORK = timedelta(seconds=60)  # for which one worker has the export to itself; renewed with every batch
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 900.0  # s
REFUSED = (400, 413, 422)  # what is answered the same again, however often the batch is sent
ROW = 1
ANSWER_BYTES = 65_536
ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class Standing:
    """How the export does: where to, what failed last (empty: nothing), and how often in a row.

    `refused`: how many spans never went out, since the receiver refused each by itself; `refusal`: the last of them.
    """

    to: str
    error: str = ""
    failures: int = 0
    refused: int = 0
    refusal: str = ""


class _Failed(Exception):
    """The endpoint did not take a batch."""

    def __init__(self, words: str, *, pause: float = 0.0) -> None:
        super().__init__(words[:ERROR_CHARS])
        self.pause = pause


class _Refused(Exception):
    """The endpoint will never take these spans together."""


def standing() -> Standing | None:
    """None where nothing is exported."""
    if not settings.OTLP_ENDPOINT:
        return None
    row = Export.objects.filter(pk=ROW).first()
    to = urlsplit(settings.OTLP_ENDPOINT).netloc
    return Standing(to, row.error, row.failures, row.refused, row.refusal) if row else Standing(to)


def export_due(*, now: datetime, seconds: float = 20.0) -> int:
    """Send what is not sent yet, for at most some `seconds`; how many spans. What fails is tried again later."""
    if not settings.OTLP_ENDPOINT:
        return 0
    # What ended before the first look is not sent.
    Export.objects.get_or_create(pk=ROW, defaults={"position": now, "taken_until": now})
    mine = Export.objects.filter(pk=ROW, taken_until__lte=now).exclude(retry_at__gt=now)
    if not mine.update(taken_until=now + AT_WORK):
        return 0
    ends_at, sent = now + timedelta(seconds=seconds), 0
    try:
        with httpx2.Client(timeout=SECONDS, follow_redirects=False) as client:
            while batch := _next_batch():
                try:
                    _send(client, batch)
                    _note(batch)
                    sent += len(batch)
                except _Refused as refused:
                    _part(batch, str(refused))
                if timezone.now() >= ends_at:
                    return sent
        _follow(now)
    except _Failed as failed:
        _put_off(failed, now)
    finally:
        Export.objects.filter(pk=ROW).update(taken_until=now)
    return sent


def _next_batch() -> list[Span]:
    position, most = Export.objects.values_list("position", "batch").get(pk=ROW)
    gone = ExportedSpan.objects.filter(pk=OuterRef("pk"))
    foreign = ForeignTrace.objects.filter(pk=OuterRef("trace_id"))
    unsent = Span.objects.filter(
        ~Exists(gone), Q(run_id__isnull=False) | ~Exists(foreign), ended_at__gte=position
    )
    return list(unsent.order_by("ended_at", "pk")[: min(most, _largest())])


def _largest() -> int:
    return BATCH_WITH_CONTENTS if settings.OTLP_CONTENTS else BATCH


def _recorded(span: Span) -> Recorded:
    if settings.OTLP_CONTENTS:
        try:
            return Recorded(*read_span(span.trace_id, span.pk))
        except MissingTrace:
            pass  # it was deleted meanwhile; that it was there is told
    return Recorded(span)


def _send(client: httpx2.Client, batch: Sequence[Span]) -> None:
    recorded = [_recorded(span) for span in batch]
    try:
        written = write_request(recorded, contents=settings.OTLP_CONTENTS).SerializeToString()
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, EncodeError) as error:
        raise _Refused(f"It can't be written: {type(error).__name__}.") from error
    headers = {"Content-Type": PROTOBUF, "Content-Encoding": "gzip", **settings.OTLP_HEADERS}
    packed, deadline, told = gzip.compress(written, 6), time.monotonic() + SECONDS, b""
    try:
        with client.stream("POST", settings.OTLP_ENDPOINT, content=packed, headers=headers) as answer:
            for chunk in answer.iter_bytes():
                told += chunk
                if len(told) > ANSWER_BYTES or time.monotonic() > deadline:
                    break
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise _Failed(f"It can't be reached: {error or type(error).__name__}") from error
    if answer.status_code in REFUSED:
        raise _Refused(f"It answered {answer.status_code}.")
    if not answer.is_success:
        after = answer.headers.get("Retry-After", "")
        raise _Failed(f"It answered {answer.status_code}.", pause=float(after) if after.isdecimal() else 0.0)
    try:
        partial = ExportTraceServiceResponse.FromString(told).partial_success
    except DecodeError:
        return
    if partial.rejected_spans:  # for good, says the protocol: the same would be rejected again
        log.warning("export.rejected", spans=partial.rejected_spans, why=partial.error_message[:ERROR_CHARS])


def _part(batch: Sequence[Span], why: str) -> None:
    """Send half as many next, so that what is refused takes nothing with it; one that is alone is given up."""
    if len(batch) > 1:
        again = timezone.now() + AT_WORK
        Export.objects.filter(pk=ROW).update(batch=len(batch) // 2, taken_until=again)
        return
    [span] = batch
    log.warning("export.refused", span=span.pk, trace=span.trace_id, why=why)
    told = f"span {span.pk} of trace {span.trace_id}: {why}"[:ERROR_CHARS]
    _note(batch, batch=1, refused=F("refused") + 1, refusal=told)


def _note(spans: Sequence[Span], **changes: Any) -> None:
    """These went out, or never will; the next request may hold twice as many."""
    gone = [ExportedSpan(span_id=span.pk, ended_at=span.ended_at) for span in spans if span.ended_at]
    with transaction.atomic():
        ExportedSpan.objects.bulk_create(gone, ignore_conflicts=True)
        row = Export.objects.select_for_update().get(pk=ROW)
        if row.failures:
            log.info("export.resumed", failures=row.failures)
        taken = {"taken_until": timezone.now() + AT_WORK, "batch": min(2 * row.batch, BATCH)}
        Export.objects.filter(pk=ROW).update(
            **taken | {"failures": 0, "retry_at": None, "error": ""} | changes
        )


def _follow(now: datetime) -> None:
    """All that ended up to a while ago went out: forget it by name."""
    with transaction.atomic():
        row = Export.objects.select_for_update().get(pk=ROW)
        position = min(now - OVERLAP, row.position + STEP)
        if position > row.position:
            Export.objects.filter(pk=ROW).update(position=position)
            ExportedSpan.objects.filter(ended_at__lt=position).delete()


def _put_off(failed: _Failed, now: datetime) -> None:
    row = Export.objects.get(pk=ROW)
    pause = min(max(failed.pause, FIRST_PAUSE * 2 ** min(row.failures, 10)), LONGEST_PAUSE)
    Export.objects.filter(pk=ROW).update(
        failures=F("failures") + 1, retry_at=now + timedelta(seconds=pause), error=str(failed)
    )
    if not row.failures:
        log.warning("export.failed", to=urlsplit(settings.OTLP_ENDPOINT).netloc, error=str(failed))
