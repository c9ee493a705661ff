"""A long queue and many who look at it: how soon its first page comes, and how soon an arrival is on every page."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from importlib import import_module
from typing import Any

import httpx2
import psutil
import websockets
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.utils import timezone

from approvals.access import Actor
from approvals.models import Approval
from approvals.programs import ask_for_program
from console import environment
from console.services.child import start_child, stop_child
from console.services.preflight import free_port
from tests import world
from tests.bench.driver import Driver
from tests.bench.meter import spread
from tests.crowd import fill_queue
from tests.waiting import until

PENDING = 10_000
BROWSERS = 50
WARM_UP = 5
REST = 0.4  # s between two arrivals: what comes faster is told together
SECONDS = 30
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}
PAGES = {  # path, headers, and what the answer must have
    "page": ("/inbox", {}, "1 to 50 of 1,000+"),
    "queue": ("/inbox/queue", FRAGMENT, "1 to 50 of 1,000+"),
    "card": ("/inbox/first", FRAGMENT, 'id="card"'),
}


def inbox(driver: Driver, *, pages: int = 100, arrivals: int = 30) -> dict[str, Any]:
    """Times in ms: of the inbox, of its queue alone and of its first card with 10,000 pending, with the server's CPU for
    each, and from the call that asks until each of 50 sockets, of as many people, has heard of it."""
    fill_queue(PENDING)
    people = [world.person(f"person{number}", "operator") for number in range(BROWSERS)]
    cookies = [f"{settings.SESSION_COOKIE_NAME}={_session(person)}" for person in people]
    try:
        with _web(driver) as (address, server):
            row: dict[str, Any] = {"pending": PENDING, "browsers": BROWSERS}
            headers = {"cookie": cookies[0]}
            with httpx2.Client(base_url=address, headers=headers, timeout=SECONDS, trust_env=False) as client:
                for name, (path, more, wanted) in PAGES.items():
                    spent = server.cpu_times()
                    row[f"{name}_ms"] = spread(_times(client, path, more, wanted, pages))
                    now = server.cpu_times()
                    seconds = now.user + now.system - spent.user - spent.system
                    row[f"{name}_cpu_ms"] = round(1000 * seconds / (WARM_UP + pages), 1)
            row["arrival_ms"] = spread(asyncio.run(_arrivals(address, cookies, arrivals)))
            return row
    finally:
        Approval.objects.filter(tool="pay", status="pending").delete()


def _times(
    client: httpx2.Client, path: str, headers: dict[str, str], wanted: str, number: int
) -> Iterator[float]:
    for place in range(WARM_UP + number):
        begun = time.perf_counter()
        answer = client.get(path, headers=headers)
        if answer.status_code != 200 or wanted not in answer.text:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
        if place >= WARM_UP:
            yield time.perf_counter() - begun


async def _arrivals(address: str, cookies: list[str], number: int) -> list[float]:
    """From the call that asks to the moment at which each socket hears of it, in s."""
    program = Actor(user=await asyncio.to_thread(world.person, "shop", "service"))
    heard: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    async def listen(socket: websockets.ClientConnection) -> None:
        async for message in socket:
            if '"approval.requested"' in str(message):
                heard.put_nowait((str(message), time.perf_counter()))

    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(
                websockets.connect(
                    f"ws{address.removeprefix('http')}/ws/feed",
                    origin=address,  # type: ignore[arg-type]
                    additional_headers={"cookie": cookie},
                    proxy=None,
                )
            )
            for cookie in cookies
        ]
        for socket in sockets:
            await asyncio.wait_for(socket.recv(), SECONDS)  # it is told that the feed is open
        listening = [asyncio.create_task(listen(socket)) for socket in sockets]
        times: list[float] = []
        for place in range(WARM_UP + number):
            await asyncio.sleep(REST)
            begun = time.perf_counter()
            asked = await asyncio.to_thread(_ask, program)
            for _ in sockets:
                message, at = await asyncio.wait_for(heard.get(), SECONDS)
                if asked not in message:
                    raise RuntimeError(f"Somebody heard of something else: {message}")
                if place >= WARM_UP:
                    times.append(at - begun)
        for task in listening:
            task.cancel()
    return times


def _ask(program: Actor) -> str:
    approval = ask_for_program(
        actor=program,
        tool="pay",
        arguments={"amount": 1},
        effect="irreversible",
        expires_in=900,
        now=timezone.now(),
    )
    return str(approval.pk)


def _session(person: User) -> str:
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(person.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = person.get_session_auth_hash()
    store.create()
    return str(store.session_key)


@contextmanager
def _web(driver: Driver) -> Iterator[tuple[str, psutil.Process]]:
    """A web server of the product's own: its address, and its process."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["-m", "uvicorn", "console.asgi:application", "--port", str(port), "--no-access-log"]
    child = start_child(
        command=[sys.executable, *command],
        log=driver.site.logs / "inbox-web.log",
        env={**os.environ, "BASE_URL": address},
        cwd=environment.ROOT,
    )
    try:
        until(lambda: _answers(f"{address}/healthz"), "the web server answers", seconds=60)
        yield address, psutil.Process(child.pid)
    finally:
        stop_child(child, by=signal.SIGTERM, seconds=5)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
