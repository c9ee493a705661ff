"""The one connection pool of a process to Valkey, for what all workers share and may lose at any moment."""

from functools import cache

import redis
from django.conf import settings

PATIENCE = 0.25  # s; nobody waits longer for what may be lost

Away = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)  # Valkey does not answer


@cache
def valkey() -> redis.Redis:
    """The client. A call raises one of `Away` where Valkey does not answer within PATIENCE."""
    return redis.Redis.from_url(
        settings.VALKEY_URL,
        decode_responses=True,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=None,
    )
