"""Whether this process lives, whether it can do its work, and how the installation stands."""

import redis
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from approvals.access import PEOPLE
from console.api import rates
from console.metrics import registry
from console.people.tokens import actor_of_token, bearer_row, scopes_of


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all: where it does not, start it again."""
    return JsonResponse({"status": "alive"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 where the database and Valkey answer, else 503 and which of them does not: send no traffic yet."""
    services = {"database": _database_answers(), "valkey": _valkey_answers()}
    ready = all(services.values())
    body = {"status": "ready" if ready else "not ready", "services": services}
    return JsonResponse(body, status=200 if ready else 503)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Gauges for Prometheus, to who comes with a person's token that may read: they tell of everybody's runs."""
    try:
        return _metrics(request)
    except (OperationalError, InterfaceError):
        away = HttpResponse("The database does not answer.\n", "text/plain", status=503)
        away["Retry-After"] = "5"
        return away


def _metrics(request: HttpRequest) -> HttpResponse:
    row = bearer_row(request.headers.get("Authorization", ""), now=timezone.now())
    if row is None:
        refused = HttpResponse("Send a token: Authorization: Bearer gth_...\n", "text/plain", status=401)
        refused["WWW-Authenticate"] = 'Bearer realm="gatehouse"'
        return refused
    rate = rates.count(row)
    if rate is not None and rate.is_over:
        late = HttpResponse(f"{rate.words}\n", "text/plain", status=429)
        late["Retry-After"] = str(rate.reset)
        return late
    if "read" not in scopes_of(row) or not actor_of_token(row).roles & PEOPLE:
        words = "This takes the token of an analyst, operator or admin, with the scope 'read'.\n"
        return HttpResponse(words, "text/plain", status=403)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry()), content_type)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _valkey_answers() -> bool:
    try:
        with redis.Redis.from_url(settings.VALKEY_URL, socket_timeout=5) as client:
            client.ping()
    except redis.exceptions.RedisError:
        return False
    return True
