"""The breaker of a model endpoint: after some failures nobody asks it for a while, then one call finds out.

All workers share it through Valkey. Where Valkey is away it stands closed, and calls go on.
"""

import hashlib
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from redis.exceptions import RedisError

from agents.providers.base import FailureKind, ModelFailure
from agents.valkey import valkey

log = structlog.get_logger(__name__)

FAILURES = 5  # that open it
WINDOW_SECONDS = 60  # within which they count
BUCKET_SECONDS = 10  # failures are counted in buckets, which expire
OPEN_SECONDS = 30  # nobody asks; then one does
FORGET_SECONDS = 3600  # an endpoint that nobody asks any more
REMEMBER_SECONDS = 1.0  # how long a process believes that a breaker is closed

# Whose turn it is, and nothing in between: `rest` stands while nobody may ask, be it that the endpoint rests or that
# another call is finding out. It answers 0: closed; -1: find out; else ms until it is worth asking again.
_ADMIT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if redis.call('SET', KEYS[2], 'probe', 'NX', 'PX', ARGV[1]) then return -1 end
return math.max(redis.call('PTTL', KEYS[2]), 1)
"""
# It answers 1 where this failure opened it.
_FAIL = """
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('SET', KEYS[2], 'rest', 'PX', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[4])
  return 0
end
redis.call('INCR', KEYS[3])
redis.call('EXPIRE', KEYS[3], ARGV[3])
local failures = 0
for place = 3, #KEYS do failures = failures + tonumber(redis.call('GET', KEYS[place]) or '0') end
if failures < tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[2], 'rest', 'PX', ARGV[2])
redis.call('SET', KEYS[1], '1', 'EX', ARGV[4])
return 1
"""
# It answers 1 where this success closed it.
_CLOSE = """
for place = 2, #KEYS do redis.call('DEL', KEYS[place]) end
return redis.call('DEL', KEYS[1])
"""

_lock = threading.Lock()
_closed_until: dict[str, float] = {}  # by endpoint, on the monotonic clock


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may go out."""

    kind: Literal["closed", "probe", "open"]
    wait: float = 0.0  # s, with open: until it is worth asking again


def admit(endpoint: str, *, seconds: float) -> Admission:
    """Ask leave for a call of `endpoint` that takes `seconds` at most.

    With `probe` this is the one call that finds out how the endpoint is: `report` what came of it. If it never does,
    another call may find out once those seconds are over.
    """
    with _lock:
        if _closed_until.get(endpoint, 0.0) > time.monotonic():
            return Admission("closed")
    told = _run(_ADMIT, _keys(endpoint)[:2], [round(seconds * 1000) + 1000])
    if not told:
        with _lock:
            _closed_until[endpoint] = time.monotonic() + REMEMBER_SECONDS
        return Admission("closed")
    return Admission("probe") if told < 0 else Admission("open", wait=told / 1000)


def report(
    endpoint: str, admission: Admission, failure: ModelFailure | None
) -> Literal["opened", "closed", ""]:
    """Tell what came of a call that was admitted; returns how that changed the breaker."""
    if failure is not None and counts(failure):
        with _lock:
            _closed_until.pop(endpoint, None)
        limits = [FAILURES, OPEN_SECONDS * 1000, WINDOW_SECONDS, FORGET_SECONDS]
        return "opened" if _run(_FAIL, _keys(endpoint), limits) else ""
    if admission.kind == "probe":
        return "closed" if _run(_CLOSE, _keys(endpoint), []) else ""
    return ""


def counts(failure: ModelFailure) -> bool:
    """Whether it says that the endpoint is not well.

    A request that is refused as invalid, or for now with a time at which to come back, was answered.
    """
    if failure.kind == FailureKind.RATE_LIMIT:
        return failure.retry_after is None
    return failure.kind != FailureKind.INVALID_REQUEST


def _keys(endpoint: str) -> list[str]:
    """Whether it is open, who may ask, and the counts of failures from the present bucket back."""
    digest = hashlib.sha256(endpoint.encode()).hexdigest()[:32]
    present = int(time.time()) // BUCKET_SECONDS
    buckets = range(present, present - WINDOW_SECONDS // BUCKET_SECONDS, -1)
    # In braces: keys of one endpoint stay together in a cluster.
    return [f"breaker:{{{digest}}}:{part}" for part in ("open", "rest", *buckets)]


def _run(script: str, keys: list[str], arguments: list[Any]) -> int:
    """What the script answers; 0, which changes nothing, where Valkey is away."""
    try:
        return int(valkey().eval(script, len(keys), *keys, *arguments))
    except RedisError as error:
        log.warning("breaker.unavailable", error=str(error))
        return 0
