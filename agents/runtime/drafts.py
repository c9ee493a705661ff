"""A model's answer while it comes, for whoever has the run's page open. Nothing of it is stored.

The page forgets it once the step that it becomes is there, or its attempt failed.
"""

import time
import uuid
from uuid import UUID

from django.utils import timezone
from redis.exceptions import RedisError

from agents.valkey import valkey
from traces.feed import publish_text

PAUSE_SECONDS = 0.05  # between two messages of one answer
LOOK_SECONDS = 1.0  # how often it is looked whether anybody watches
WATCH_SECONDS = 30  # how long a page counts as open after its last word


def watch(run_id: UUID, *, anew: bool) -> None:
    """Say that a page of the run is open; with `anew`, that it has seen nothing yet."""
    key = _key(run_id)
    if anew:
        valkey().set(key, uuid.uuid4().hex, ex=WATCH_SECONDS)
    else:
        valkey().set(key, uuid.uuid4().hex, ex=WATCH_SECONDS, nx=True)
        valkey().expire(key, WATCH_SECONDS)


class Draft:
    """One attempt at an answer, which will be the step numbered `step`. Pieces come by `add`, from one thread.

    Where nobody watches, a piece costs its place in a list, and a look once a second. An answer that is whole within
    PAUSE_SECONDS is never sent: its step is there as soon.
    """

    def __init__(self, run_id: UUID, *, step: int) -> None:
        self._run_id, self._step = run_id, step
        self._attempt = f"{timezone.now():%H%M%S%f}-{uuid.uuid4().hex[:6]}"
        self._text = ""
        self._pieces: list[str] = []
        self._sent = 0  # characters that the pages have
        self._watcher = ""  # who had those
        self._due: float | None = None
        self._look_at = 0.0

    def add(self, piece: str) -> None:
        """Take a piece of the text, and pass on what came if it is time."""
        self._pieces.append(piece)
        now = time.monotonic()
        if self._due is None:
            self._due = now + PAUSE_SECONDS
        elif now >= self._due:
            self._due = now + PAUSE_SECONDS
            self._send(now)

    def discard(self) -> None:
        """The attempt failed: what was shown of it goes."""
        if self._sent:
            publish_text(self._run_id, step=self._step, attempt=self._attempt, start=0, text=None)

    def _send(self, now: float) -> None:
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            watcher = _watcher(self._run_id)
            if watcher != self._watcher:
                self._watcher, self._sent = watcher, 0
        if not self._watcher:
            return
        self._text += "".join(self._pieces)
        self._pieces.clear()
        publish_text(
            self._run_id,
            step=self._step,
            attempt=self._attempt,
            start=self._sent,
            text=self._text[self._sent :],
        )
        self._sent = len(self._text)


def _watcher(run_id: UUID) -> str:
    """Who began to watch last; empty: nobody does."""
    try:
        return str(valkey().get(_key(run_id)) or "")
    except RedisError:
        return ""


def _key(run_id: UUID) -> str:
    return f"watching:{run_id}"
