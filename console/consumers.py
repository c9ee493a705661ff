"""The live channels: an open page hears that something changed, by id, and fetches what it may see.

A page misses nothing. The first message after the connection (`feed.opened`) tells it to catch up, and so does
`feed.missed`, which is sent when the database holds an event of which the channel layer said nothing. Where the
server can't know, it closes the socket, and the page connects again.
"""

import asyncio
import contextlib
from collections import deque
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth.models import User
from django.db.models import Max, QuerySet
from django.utils import timezone
from redis.exceptions import RedisError

from agents.exceptions import MissingRun
from agents.hidden import may_mask
from agents.queries import get_run
from agents.runtime.drafts import watch
from approvals.access import ADMIN, PEOPLE, Actor, roles_of
from console import presence
from console.doorkeeping import user_of
from traces.feed import EVERYTHING, run_group
from traces.models import Event

log = structlog.get_logger(__name__)

BEAT_SECONDS = (
    10.0  # how often a socket looks whether it missed something, and whether its person may still listen
)
PACE_SECONDS = 0.2  # the least time between two looks: what comes in between is sent together
LATE = timedelta(seconds=2)  # an event this old, of which nothing was heard, was missed
WAITING_MAX = 1000  # messages kept for a slow page; what is dropped counts as missed

SAID = ("step", "attempt", "start", "text")

# Close codes: those from 4000 on are ours, and tell the page not to connect again.
SIGNED_OUT, NOT_ALLOWED, NOT_FOUND = 4401, 4403, 4404
TRY_AGAIN = 1013


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """A socket that hears of events, for as long as its person may.

    Messages are `{"event": name, "id": event id, "object_id": ..., "run_id": ... or null}`. A page that
    sends `ping` is answered `pong`, so that it learns of a connection that is gone; what else it sends is ignored.
    """

    def listens_to(self) -> tuple[str, ...]:
        """The groups of the channel layer that are listened to."""
        return (EVERYTHING,)

    def concerns(self, event: dict[str, Any]) -> bool:
        """Whether an event of the feed is for this page."""
        raise NotImplementedError

    def events(self) -> QuerySet[Event]:
        """The events that are for this page."""
        raise NotImplementedError

    def refusal(self, user: User) -> int | None:
        """The code with which this person is turned away, if so."""
        return None if roles_of(user) & PEOPLE else NOT_ALLOWED

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the socket; without a channel layer it is closed, so that the page tries again."""
        try:
            await super().__call__(scope, receive, send)
        except (RedisError, OSError) as error:
            log.warning("live.unavailable", error=str(error))
            await send({"type": "websocket.close", "code": TRY_AGAIN})

    async def connect(self) -> None:
        self.waiting: deque[dict[str, Any]] = deque(maxlen=WAITING_MAX)
        self.arrived = asyncio.Event()
        await self.accept()  # a refusal before this would reach the page without its code
        if code := await self._look():
            await self.close(code)
            return
        for group in self.listens_to():
            await self.channel_layer.group_add(group, self.channel_name)
        self.telling = asyncio.create_task(self._tell())

    async def disconnect(self, code: int) -> None:
        if telling := getattr(self, "telling", None):
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            with contextlib.suppress(RedisError, OSError):
                for group in self.listens_to():
                    await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        if text_data == "ping":
            await self.send("pong")

    async def feed_events(self, message: dict[str, Any]) -> None:
        """Called by the channel layer; see traces.feed."""
        if mine := [event for event in message["events"] if self.concerns(event)]:
            self.waiting.extend(mine)
            self.arrived.set()

    async def _tell(self) -> None:
        try:
            self.settled = await self._newest()
            self.heard: set[int] = set()
            await self._send("feed.opened", self.settled)
            while True:
                await self._tell_what_came()
        except Exception:
            log.exception("live.failed")
            await self.close(TRY_AGAIN)

    async def _tell_what_came(self) -> None:
        """Until the next beat, pass on what comes; then see whether all came."""
        clock = asyncio.get_running_loop()
        beat = clock.time() + BEAT_SECONDS
        while (left := beat - clock.time()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.arrived.wait(), left)
            self.arrived.clear()
            if code := await self._look():
                await self.close(code)
                raise asyncio.CancelledError
            while self.waiting:
                message = self.waiting.popleft()
                self.heard.add(message["id"])
                await self._send(message["name"], message["id"], message["object_id"], message["run_id"])
            await asyncio.sleep(PACE_SECONDS)
        if missed := await self._missed():
            await self._send("feed.missed", max(missed))

    async def _send(self, name: str, pk: int, object_id: str = "", run_id: str | None = None) -> None:
        await self.send_json({"event": name, "id": pk, "object_id": object_id, "run_id": run_id})

    async def _look(self) -> int | None:
        """The code with which to close; the session is read anew, since it may have ended."""
        user = await user_of(self.scope["session"].session_key)
        if user is None:
            return SIGNED_OUT
        return await database_sync_to_async(self.refusal)(user)

    @database_sync_to_async
    def _newest(self) -> int:
        return self.events().aggregate(newest=Max("pk"))["newest"] or 0

    @database_sync_to_async
    def _missed(self) -> set[int]:
        """Events of which nothing was heard since the last look."""
        known = set(
            self.events()
            .filter(pk__gt=self.settled, at__lt=timezone.now() - LATE)
            .values_list("pk", flat=True)
        )
        missed = known - self.heard
        self.settled = max(known, default=self.settled)
        self.heard = {pk for pk in self.heard if pk > self.settled}
        return missed


class FeedConsumer(LiveConsumer):
    """Everything that changes, for the inbox and the lists.

    A page that has a request open says `looking ID`, again and again, and `looking` when it shows it no more; the other
    pages hear `presence.changed` of that request.
    """

    looking: UUID | None = None

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        await super().receive(text_data, bytes_data, **kwargs)
        if text_data == "looking" or (text_data or "").startswith("looking "):
            try:
                at = UUID(text_data[8:]) if text_data and text_data[8:] else None
            except ValueError:
                return
            await self._look_at(at)

    async def disconnect(self, code: int) -> None:
        await self._look_at(None)
        await super().disconnect(code)

    async def _look_at(self, at: UUID | None) -> None:
        """Valkey may be away: then nobody sees who looks."""
        user, before, self.looking = self.scope.get("user"), self.looking, at
        if not isinstance(user, User) or not user.is_authenticated:
            return
        with contextlib.suppress(RedisError, OSError):
            if before and before != at:
                await asyncio.to_thread(presence.leave, before, user)
                await self._say_who_looks(before)
            if at and await asyncio.to_thread(presence.look, at, user):
                await self._say_who_looks(at)

    async def _say_who_looks(self, approval_id: UUID) -> None:
        event = {"id": 0, "name": presence.CHANGED, "object_id": str(approval_id), "run_id": None}
        await self.channel_layer.group_send(EVERYTHING, {"type": "feed.events", "events": [event]})

    def concerns(self, event: dict[str, Any]) -> bool:
        return True

    def events(self) -> QuerySet[Event]:
        return Event.objects.all()


class RunConsumer(LiveConsumer):
    """What changes about one run, and what its model says while it says it.

    Words come as `{"event": "run.said", "step", "attempt", "start", "text"}`, see `traces.feed.publish_text`.
    """

    watched = False
    is_muted = True  # until it is known who listens

    def listens_to(self) -> tuple[str, ...]:
        return (*super().listens_to(), run_group(self._run_id()))

    async def feed_text(self, message: dict[str, Any]) -> None:
        """Called by the channel layer; see traces.feed."""
        if self.is_muted:  # it may say what is masked for this person
            return
        await self.send_json({"event": "run.said"} | {name: message[name] for name in SAID})

    async def feed_events(self, message: dict[str, Any]) -> None:
        if any(event["name"] == "agent.published" for event in message["events"]):
            self.is_muted = True  # it may mask what is being said: nothing more is, before that is looked up
            self.arrived.set()
        await super().feed_events(message)

    async def _tell_what_came(self) -> None:
        with contextlib.suppress(RedisError):
            await asyncio.to_thread(watch, self._run_id(), anew=not self.watched)
        self.watched = True
        await super()._tell_what_came()

    def concerns(self, event: dict[str, Any]) -> bool:
        return bool(event["run_id"] == str(self._run_id()))

    def events(self) -> QuerySet[Event]:
        return Event.objects.filter(run_id=self._run_id())

    def refusal(self, user: User) -> int | None:
        if code := super().refusal(user):
            return code
        try:
            run = get_run(self._run_id(), actor=Actor(user))
        except MissingRun:
            return NOT_FOUND
        # Each time: a rule that masks may have been published since, or a role taken away.
        self.is_muted = ADMIN not in roles_of(user) and may_mask(run.pk)
        return None

    def _run_id(self) -> Any:
        return self.scope["url_route"]["kwargs"]["run_id"]
