"""OTLP over HTTP: programs that run elsewhere send their spans here. Answers are as the protocol says, not problems."""

from decimal import Decimal

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from agents.providers.base import Usage
from agents.providers.pricing import cost_usd
from approvals.access import ADMIN, OPERATOR, SERVICE
from console.api import rates
from console.models import ApiToken
from console.people.tokens import actor_of_token, bearer_row, scopes_of
from traces.models import Span
from traces.otlp import wire
from traces.otlp.ingest import store
from traces.otlp.reading import read_spans

log = structlog.get_logger(__name__)

SCOPE = "traces"
SENDERS = frozenset({SERVICE, OPERATOR, ADMIN})
# gRPC's codes, as a google.rpc.Status has them, by HTTP's.
CODES = {400: 3, 401: 16, 403: 7, 405: 12, 413: 3, 415: 3, 429: 8, 503: 14}


class _Refused(wire.Refused):
    """A refusal that has headers of its own."""

    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(status, message)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@csrf_exempt
def take_spans(request: HttpRequest) -> HttpResponse:
    """Store the spans of one ExportTraceServiceRequest; what is answered by 200 is committed."""
    answered_in = wire.PROTOBUF if request.content_type == wire.PROTOBUF else wire.JSON
    try:
        if request.method != "POST":
            raise _Refused(405, "Send spans by POST.", Allow="POST")
        row = _sender(request)
        content = wire.read(
            request.read(wire.MAX_BYTES + 1),
            content_type=request.content_type or "",
            encoding=request.headers.get("Content-Encoding", "").strip().lower(),
        )
        now = timezone.now()
        stored = store(read_spans(content, now=now), sender_id=row.user_id, now=now, price=_price)
    except wire.Refused as refused:
        return _refuse(refused, answered_in)
    except UnreadablePostError:
        return _refuse(wire.Refused(400, "The body ended before it was complete."), answered_in)
    except (OperationalError, InterfaceError) as error:
        log.error("otlp.database_away", error=str(error))
        away = _Refused(503, "The database does not answer; try again in a few seconds.", Retry_After="5")
        return _refuse(away, answered_in)
    if stored.rejected:
        log.info("otlp.rejected", sender=row.user.get_username(), spans=stored.rejected, why=stored.message)
    body = wire.answer(answered_in, rejected=stored.rejected, message=stored.message)
    return HttpResponse(body, content_type=answered_in)


def _sender(request: HttpRequest) -> ApiToken:
    """The token. Raises _Refused."""
    row = bearer_row(request.headers.get("Authorization", ""), now=timezone.now())
    if row is None:
        words = "Send a token that is known, and neither revoked nor expired: Authorization: Bearer gth_..."
        raise _Refused(401, words, WWW_Authenticate='Bearer realm="Gatehouse"')
    rate = rates.count(row)
    if rate is not None and rate.is_over:
        raise _Refused(429, rate.words, Retry_After=str(rate.reset))
    if SCOPE not in scopes_of(row):
        raise _Refused(403, f"This token lacks the scope {SCOPE!r} (send spans): make one that has it.")
    if not actor_of_token(row).roles & SENDERS:
        raise _Refused(403, "Spans are sent by the token of a service, an operator or an admin.")
    return row


def _price(span: Span) -> Decimal | None:
    usage = Usage(
        input=span.input_tokens or 0,
        cache_read=span.cache_read_tokens or 0,
        cache_write=span.cache_write_tokens or 0,
        output=span.output_tokens or 0,
    )
    return cost_usd(span.provider, span.model, usage) if span.model else None


def _refuse(refused: wire.Refused, answered_in: str) -> HttpResponse:
    body = wire.refusal(answered_in, code=CODES[refused.status], message=str(refused))
    response = HttpResponse(body, status=refused.status, content_type=answered_in)
    for name, value in getattr(refused, "headers", {}).items():
        response[name] = value
    return response
