"""Whether this process lives, and whether it can do its work."""

import redis
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe


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
