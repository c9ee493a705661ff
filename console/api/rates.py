"""How many requests a token may make within a minute, counted for all web servers together."""

import math
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from agents.valkey import Away, valkey
from console.api.problems import Problem
from console.models import ApiToken

log = structlog.get_logger(__name__)

MINUTE_MS = 60_000
_RATE = "_gatehouse_rate"  # kept on the request

# Counts, and begins a minute with its first request: how many there were, and how long it goes on (ms).
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """How a token stands in this minute; `reset` is in s."""

    limit: int
    left: int  # below 0: there were too many
    reset: int

    @property
    def is_over(self) -> bool:
        return self.left < 0

    @property
    def words(self) -> str:
        return (
            f"This token made {self.limit:,} requests within a minute, the most it may:"
            f" come again in {self.reset} s."
        )


def take(request: HttpRequest, token: ApiToken) -> None:
    """Count a request of this token. Raises Problem where there were too many."""
    rate = count(token)
    if rate is None:
        return
    setattr(request, _RATE, rate)
    if rate.is_over:
        raise Problem(429, "rate_limited", rate.words, retry_after=rate.reset)


def count(token: ApiToken) -> Rate | None:
    """How the token stands with one request more.

    None while Valkey is away: then nobody can count for all servers, and whoever comes is let in.
    """
    try:
        counted = valkey().eval(COUNT, 1, f"gatehouse:api:{token.pk}", str(MINUTE_MS))
    except Away as error:
        log.warning("rate.away", error=str(error))
        return None
    requests, left_ms = (int(number) for number in counted)
    reset = max(1, math.ceil(left_ms / 1000))
    return Rate(settings.API_RATE, settings.API_RATE - requests, reset)


def tell(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Put into the answer how the caller's token stands."""
    rate = getattr(request, _RATE, None)
    if isinstance(rate, Rate):
        response["RateLimit-Limit"] = str(rate.limit)
        response["RateLimit-Remaining"] = str(max(0, rate.left))
        response["RateLimit-Reset"] = str(rate.reset)
    return response
