"""How often something may be done within a time, by all workers together: calls of a tool, questions to people."""

import time
from uuid import uuid4

import structlog

from agents.tools.spec import Tool
from agents.valkey import Away, valkey

log = structlog.get_logger(__name__)

MINUTE = 60  # s

# Counts and adds as one step, so that no two workers take the last place. Returns when the oldest was taken, or 0.
TAKE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[1] - ARGV[2])
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[3]) then
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[4])
    redis.call('EXPIRE', KEYS[1], ARGV[2])
    return '0'
end
return redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
"""


def seconds_until_free(tool: Tool) -> float:
    """Take a place among the tool's calls of this minute: 0, or after how many seconds there is one.

    While Valkey is away nobody can count for all workers, and the tool is called: its own limits hold still, and
    what it refuses comes back as a failure that is tried again.
    """
    if not tool.rate_limit:
        return 0.0
    return take(f"gatehouse:tool:{tool.source}:calls", tool.rate_limit, MINUTE)


def take(key: str, limit: int, seconds: int) -> float:
    """Take one of `limit` places within `seconds`: 0, or after how many seconds there is one. 0 while Valkey is away."""
    now = time.time()
    try:
        oldest = float(str(valkey().eval(TAKE, 1, key, str(now), str(seconds), str(limit), uuid4().hex)))
    except Away as error:
        log.warning("limit.away", key=key, error=str(error))
        return 0.0
    return max(0.1, oldest + seconds - now) if oldest else 0.0
