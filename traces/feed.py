"""The live feed: after a commit, the ids of what changed go to the open pages; the pages fetch the rest.

A lost message costs a page nothing but time: it catches up when it reconnects.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog
from channels.layers import get_channel_layer

if TYPE_CHECKING:
    from traces.models import Event

log = structlog.get_logger(__name__)

EVERYTHING = "feed"  # the group that hears of every event
PAUSE_SECONDS = 0.05  # between two messages
MESSAGE_EVENTS = 500  # in one message
OUTBOX_MAX = 20_000  # while the broker is away; older ones are dropped, and the pages catch up

_outbox: deque[dict[str, Any]] = deque(maxlen=OUTBOX_MAX)
_sending = threading.Event()
_lock = threading.Lock()


def run_group(run_id: Any) -> str:
    """The group that hears of one run."""
    return f"run.{run_id}"


def publish(events: Sequence["Event"]) -> None:
    """Tell the open pages; never raises, never waits.

    What comes while a message is on its way, and shortly after it, goes with the next one, so that a busy worker
    sends a few messages a second and not one per event.
    """
    with _lock:
        _outbox.extend(
            {
                "id": event.pk,
                "name": event.name,
                "object_id": event.object_id,
                "run_id": str(event.run_id) if event.run_id else None,
            }
            for event in events
        )
        if _sending.is_set():
            return
        _sending.set()
    asyncio.run_coroutine_threadsafe(_send(), _loop())


async def _send() -> None:
    while True:
        with _lock:
            events = [_outbox.popleft() for _ in range(min(len(_outbox), MESSAGE_EVENTS))]
            if not events:
                _sending.clear()
                return
        try:
            if layer := get_channel_layer():
                await layer.group_send(EVERYTHING, {"type": "feed.events", "events": events})
        except Exception as error:  # the broker may be away: the pages poll meanwhile
            log.warning("feed.lost", error=str(error), events=len(events))
        await asyncio.sleep(PAUSE_SECONDS)


def publish_text(run_id: Any, *, step: int, attempt: str, start: int, text: str | None) -> None:
    """Tell the open pages of a run what its model says just now; never raises, never waits.

    `text` follows the first `start` characters of the same attempt at the step numbered `step`; None takes back all
    of them. Whoever calls this limits how often.
    """
    message = {"type": "feed.text", "step": step, "attempt": attempt, "start": start, "text": text}
    asyncio.run_coroutine_threadsafe(_send_text(run_group(run_id), message), _loop())


async def _send_text(group: str, message: dict[str, Any]) -> None:
    try:
        if layer := get_channel_layer():
            await layer.group_send(group, message)
    except Exception as error:  # the step will come all the same
        log.warning("feed.text_lost", error=str(error))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One event loop on its own thread: channel layers are asynchronous, workers are not."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="feed", daemon=True).start()
    return loop
