"""Long polls: the caller waits, no thread and no database connection does."""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated

from asgiref.sync import sync_to_async
from django.db import connection
from ninja import Query

MAX_WAIT = 60  # s
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5  # s

Wait = Annotated[
    float,
    Query(description="Answer when there is something to tell, or after so many seconds.", ge=0, le=MAX_WAIT),
]


async def wait_until(done: Callable[[], bool], *, seconds: float) -> None:
    """Come back when `done` says so, or after `seconds`. `done` reads the database."""
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while not await sync_to_async(_look)(done) and (left := deadline - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, LONGEST_PAUSE)


def _look(done: Callable[[], bool]) -> bool:
    try:
        return done()
    finally:
        # Back to the pool between two looks: there are more callers that can wait than there are connections.
        if not connection.in_atomic_block:
            connection.close()
