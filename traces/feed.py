"""The live feed: after a commit, the ids of what changed go to the open pages; the pages fetch the rest.

A lost message costs a page nothing but time: it catches up when it reconnects.
"""

import asyncio
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog
from channels.layers import get_channel_layer

if TYPE_CHECKING:
    from traces.models import Event

log = structlog.get_logger(__name__)

EVERYTHING = "feed"  # the group that hears of every event


def run_group(run_id: Any) -> str:
    """The group that hears of one run."""
    return f"run.{run_id}"


def publish(events: Sequence["Event"]) -> None:
    """Tell the open pages; never raises, never waits."""
    layer = get_channel_layer()
    if layer is None:
        return
    messages = [
        {
            "type": "feed.event",
            "id": event.pk,
            "name": event.name,
            "object_id": event.object_id,
            "run_id": str(event.run_id) if event.run_id else None,
        }
        for event in events
    ]

    async def send() -> None:
        try:
            for message in messages:
                await layer.group_send(EVERYTHING, message)
                if message["run_id"]:
                    await layer.group_send(run_group(message["run_id"]), message)
        except Exception as error:  # the broker may be away: the pages poll meanwhile
            log.warning("feed.lost", error=str(error), events=len(messages))

    asyncio.run_coroutine_threadsafe(send(), _loop())


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop on its own thread: channel layers are asynchronous, workers are not."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="feed", daemon=True).start()
    return loop
