"""The live channels, over the real Valkey on its socket: who may listen, what they hear, and that nothing is missed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import redis.asyncio
from asgiref.sync import async_to_sync, sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from console import consumers, presence
from console.asgi import application
from tests import world
from tests.sockets import Socket
from traces.feed import publish_text
from traces.models import Event
from traces.recorder import record

pytestmark = pytest.mark.django_db(transaction=True)
ORIGIN = b"http://localhost:8000"
OBJECT = "00000000-0000-7000-8000-000000000001"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't gather messages."""
    monkeypatch.setattr(consumers, "PACE_SECONDS", 0.01)
    assert settings.VALKEY_URL.startswith("unix://")


def cookie_of(user: User) -> bytes:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}".encode()


def socket(path: str, cookie: bytes = b"", origin: bytes = ORIGIN) -> Socket:
    return Socket(application, path, [(b"origin", origin), (b"cookie", cookie)])


@asynccontextmanager
async def listening(path: str, cookie: bytes) -> AsyncIterator[Socket]:
    """An open socket that has said its first word; closed, with the layer's connections, at the end."""
    opened = socket(path, cookie)
    try:
        assert (await opened.connect())["type"] == "websocket.accept"
        assert (await opened.next_message())["event"] == "feed.opened"
        yield opened
    finally:
        await opened.disconnect()
        await flush()


OBJECT = "0198b9a2-0000-7000-8000-000000000000"


async def flush() -> None:
    layer = get_channel_layer()
    assert layer is not None
    await layer.flush()


async def closed_with(opened: Socket) -> int:
    """The code with which the server closes, whatever it says before."""
    while True:
        message = await opened.next_output()
        if message["type"] == "websocket.close":
            return int(message["code"])


def happen(name: str, run_id: UUID | None = None) -> int:
    """Something happens, and is committed."""
    with transaction.atomic():
        record(name, actor="system", object_id=OBJECT, run_id=run_id, data={"secret": "never sent"})
        return Event.objects.latest("pk").pk


def run_async(test: Callable[[], Awaitable[None]]) -> None:
    async_to_sync(test)()


async def off_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call code that uses the database."""
    return await sync_to_async(function)(*arguments)


@pytest.mark.req("RUN-8")
def test_a_page_that_asks_whether_it_is_heard_is_answered() -> None:
    cookie = cookie_of(world.person("ana", "operator"))

    async def test() -> None:
        async with listening("/ws/feed", cookie) as opened:
            await opened.send("what else")
            await opened.send("ping")
            assert (await opened.next_output())["text"] == "pong"

    run_async(test)


@pytest.mark.req("RUN-8", "APR-3")
def test_people_hear_of_everything_by_id_and_nothing_more() -> None:
    cookie = cookie_of(world.person("ana", "operator"))

    async def test() -> None:
        async with listening("/ws/feed", cookie) as opened:
            pk = await off_loop(happen, "approval.requested")
            assert await opened.next_message() == {
                "event": "approval.requested",
                "id": pk,
                "object_id": OBJECT,
                "run_id": None,
            }

    run_async(test)


@pytest.mark.req("RUN-8")
def test_a_run_s_channel_speaks_of_that_run_alone() -> None:
    cookie = cookie_of(world.person("amir", "analyst"))
    world.publish_agent()
    run, other = world.start(), world.start()

    async def test() -> None:
        async with listening(f"/ws/runs/{run.pk}", cookie) as opened:
            await off_loop(happen, "step.taken", other.pk)
            pk = await off_loop(happen, "step.taken", run.pk)
            heard = [await opened.next_message()]
            while heard[-1]["id"] != pk:  # that the run was started may be heard, too
                heard.append(await opened.next_message())
            assert {message["run_id"] for message in heard} == {str(run.pk)}

    run_async(test)


@pytest.mark.req("APR-5", "RUN-8")
def test_a_mask_that_is_published_while_a_run_is_watched_masks_its_live_words_from_then_on() -> None:
    ana, ada = (cookie_of(world.person(name, role)) for name, role in (("ana", "operator"), ("ada", "admin")))
    world.publish_agent()
    run = world.start()
    masks = [{"tool": "pay", "then": "mask", "mask": ["account"]}]

    def speak(text: str) -> None:
        publish_text(run.pk, step=1, attempt="a", start=0, text=text)

    async def said(opened: Socket, until: Callable[[dict[str, Any]], bool]) -> list[str]:
        """What it is told of the model's words until this message."""
        words = []
        while not until(message := await opened.next_message()):
            if message["event"] == "run.said":
                words.append(message["text"])
        return words

    async def test() -> None:
        path = f"/ws/runs/{run.pk}"
        async with (
            listening(path, ana) as hers,
            listening(path, ada) as admins,
            listening("/ws/feed", ana) as feed,
        ):
            speak("before")
            assert await said(hers, lambda message: message.get("text") == "before") == []
            await off_loop(partial(world.publish_agent, policy=masks))
            await said(feed, lambda message: message["event"] == "agent.published")
            speak("globex")
            pk = await off_loop(happen, "step.taken", run.pk)
            assert await said(hers, lambda message: message.get("id") == pk) == []
            speak("globex again")  # also once it has been looked up
            pk = await off_loop(happen, "step.taken", run.pk)
            assert await said(hers, lambda message: message.get("id") == pk) == []
            await said(admins, lambda message: message.get("text") == "globex again")  # who may see all, does

    run_async(test)


@pytest.mark.req("RUN-8", "OPS-3")
@pytest.mark.parametrize(
    ("role", "path", "code"),
    [
        ("", "/ws/feed", 4401),
        ("service", "/ws/feed", 4403),
        ("nobody", "/ws/feed", 4403),
        ("operator", "/ws/runs/01a1fd3a-294c-77db-9f40-6ba8b2445374", 4404),
    ],
)
def test_who_may_not_listen_is_told_so_and_hears_nothing(role: str, path: str, code: int) -> None:
    cookie = cookie_of(world.person("zoe", *([role] if role != "nobody" else []))) if role else b""

    async def test() -> None:
        opened = socket(path, cookie)
        assert (await opened.connect())["type"] == "websocket.accept"
        assert (await opened.next_output()) == {"type": "websocket.close", "code": code}
        await opened.disconnect()
        await flush()

    run_async(test)


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(
    ("path", "origin"),
    [("/ws/feed", b"https://evil.example"), ("/ws/feed", b""), ("/ws/feed", b"null"), ("/ws/else", ORIGIN)],
)
def test_other_sites_and_other_paths_get_no_socket(path: str, origin: bytes) -> None:
    cookie = cookie_of(world.person("ana", "operator"))

    async def test() -> None:
        opened = socket(path, cookie, origin)
        assert (await opened.connect())["type"] == "websocket.close"
        await opened.disconnect()
        await flush()

    run_async(test)


def sign_out(user: User, cookie: bytes) -> None:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = cookie.decode().partition("=")[2]
    client.post("/sign-out")


def deactivate(user: User, cookie: bytes) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def lose_role(user: User, cookie: bytes) -> None:
    user.groups.clear()


def change_password(user: User, cookie: bytes) -> None:
    user.set_password("another long password")
    user.save()


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(
    ("end", "code"), [(sign_out, 4401), (deactivate, 4401), (change_password, 4401), (lose_role, 4403)]
)
def test_who_may_no_longer_listen_loses_the_socket_before_the_next_message(
    end: Callable[[User, bytes], None], code: int
) -> None:
    user = world.person("ana", "operator")
    cookie = cookie_of(user)

    async def test() -> None:
        async with listening("/ws/feed", cookie) as opened:
            await off_loop(end, user, cookie)
            await off_loop(happen, "approval.requested")
            message = await opened.next_output()
            assert message == {"type": "websocket.close", "code": code}

    run_async(test)


@pytest.mark.req("OPS-3")
def test_a_quiet_socket_is_looked_after_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.05)
    user = world.person("ana", "operator")
    cookie = cookie_of(user)

    async def test() -> None:
        async with listening("/ws/feed", cookie) as opened:
            await off_loop(deactivate, user, cookie)
            assert await closed_with(opened) == 4401

    run_async(test)


@pytest.mark.req("RUN-8", "OPS-2")
def test_an_event_of_which_the_layer_said_nothing_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.05)
    cookie = cookie_of(world.person("ana", "operator"))

    def lose() -> int:
        then = timezone.now() - consumers.LATE * 2
        return Event.objects.create(name="approval.requested", actor="system", at=then).pk

    async def test() -> None:
        async with listening("/ws/feed", cookie) as opened:
            pk = await off_loop(lose)
            heard = await opened.next_message()
            assert (heard["event"], heard["id"]) == ("feed.missed", pk)
            assert await opened.is_quiet(0.3)

    run_async(test)


@pytest.mark.req("RUN-8")
def test_what_was_heard_is_not_taken_for_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "LATE", consumers.LATE * 0)
    cookie = cookie_of(world.person("ana", "operator"))

    async def test() -> None:
        async with listening("/ws/feed", cookie) as opened:
            for _ in range(20):
                pk = await off_loop(happen, "run.started")
                heard = await opened.next_message()
                while heard["event"] == "feed.missed":  # seen in the database before the layer brought it
                    heard = await opened.next_message()
                assert heard["id"] == pk

    run_async(test)


@pytest.mark.req("RUN-8", "OPS-2")
def test_after_the_layer_lost_its_connections_pages_hear_again() -> None:
    cookie = cookie_of(world.person("ana", "operator"))

    async def test() -> None:
        killer = redis.asyncio.Redis.from_url(settings.VALKEY_URL)
        async with listening("/ws/feed", cookie) as opened:
            assert await killer.client_kill_filter(_type="pubsub") >= 1
            heard: dict[str, Any] = {}
            async with asyncio.timeout(20):
                while heard.get("event") not in ("approval.requested", "feed.missed"):
                    await off_loop(happen, "approval.requested")
                    if not await opened.is_quiet(0.2):
                        heard = await opened.next_message()
        await killer.aclose()

    run_async(test)


@pytest.mark.req("OPS-2")
def test_without_a_layer_the_socket_is_closed_so_that_the_page_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cookie = cookie_of(world.person("ana", "operator"))
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": ["unix:///nowhere/valkey.sock"]},
    }

    async def test() -> None:
        opened = socket("/ws/feed", cookie)
        assert await opened.connect() == {"type": "websocket.close", "code": consumers.TRY_AGAIN}
        await opened.disconnect()

    with override_settings(CHANNEL_LAYERS={"default": layer}):
        run_async(test)


@pytest.mark.req("APR-7")
def test_others_see_at_once_who_looks_at_a_request_and_that_they_left() -> None:
    ana, ben = (cookie_of(world.person(name, "operator")) for name in ("ana", "ben"))
    where = UUID(OBJECT)

    async def told(opened: Socket) -> None:
        message = await opened.next_message()
        assert (message["event"], message["object_id"]) == ("presence.changed", OBJECT)

    async def test() -> None:
        async with listening("/ws/feed", ben) as watcher:
            looker = socket("/ws/feed", ana)
            await looker.connect()
            assert (await looker.next_message())["event"] == "feed.opened"
            await looker.send(f"looking {OBJECT}")
            await told(watcher)
            assert await asyncio.to_thread(presence.lookers, where) == ["ana"]
            await looker.send("looking not-an-id")
            await looker.send("looking")
            await told(watcher)
            assert await asyncio.to_thread(presence.lookers, where) == []
            await looker.send(f"looking {OBJECT}")
            await told(watcher)
            await looker.disconnect()
            await told(watcher)
            assert await asyncio.to_thread(presence.lookers, where) == []

    run_async(test)
