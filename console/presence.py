"""Who has which request open just now. It is kept in Valkey, for as long as the page says so, and may be lost."""

import time
from uuid import UUID

from django.contrib.auth.models import User
from redis.exceptions import RedisError

from agents.valkey import valkey

LOOKS_SECONDS = 40.0  # how long a page counts as open after its last word; it speaks every 15 s
CHANGED = "presence.changed"


def look(approval_id: UUID, user: User) -> bool:
    """Note that the person has the request open; whether that is new. Raises RedisError."""
    key, now = _key(approval_id), time.time()
    with valkey().pipeline() as pipe:
        pipe.zremrangebyscore(key, "-inf", now)
        pipe.zadd(key, {user.get_username(): now + LOOKS_SECONDS})
        pipe.expire(key, int(LOOKS_SECONDS))
        removed, added, _ = pipe.execute()
    return bool(removed or added)


def leave(approval_id: UUID, user: User) -> None:
    """The person's page shows something else, or is gone. Raises RedisError."""
    valkey().zrem(_key(approval_id), user.get_username())


def lookers(approval_id: UUID) -> list[str]:
    """The names of those who have the request open; nobody, where Valkey is away."""
    try:
        found = valkey().zrangebyscore(_key(approval_id), time.time(), "+inf")
    except RedisError:
        return []
    return sorted(str(name) for name in found)


def _key(approval_id: UUID) -> str:
    return f"gatehouse:looking:{approval_id}"
