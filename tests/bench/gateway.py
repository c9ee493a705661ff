"""What the gate costs a read: an MCP client calls a function at a bare server, and through the gateway.

Through the gateway it is called twice over: as a Python tool, which shows the gate alone, and as the tool of that
bare server, where every call takes a second way over MCP as well.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
from django.conf import settings
from django.utils import timezone
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from console import environment
from console.people.tokens import make_token
from console.services.child import start_child, stop_child
from console.services.preflight import free_port
from tests import world
from tests.bench.driver import Driver
from tests.bench.meter import spread
from tests.waiting import until

WARM_UP = 20
SECONDS = 30


def gateway(driver: Driver, calls: int) -> dict[str, Any]:
    """Times of calls of one client, in ms: at the bare server, of a Python tool here, and of the server's tool here."""
    ports = free_port(), free_port()
    upstream, here = (f"http://127.0.0.1:{port}" for port in ports)
    settings.EGRESS = [upstream]
    env = {**os.environ, "GATEHOUSE_EGRESS": upstream, "GATEHOUSE_API_RATE": "1000000"}
    web = ["-m", "uvicorn", "console.asgi:application", "--port", str(ports[1]), "--no-access-log"]
    processes = []
    try:
        for name, command in (("upstream", ["-m", "tests.bench.upstream", str(ports[0])]), ("web", web)):
            log = driver.site.logs / f"{name}.log"
            child = start_child(command=[sys.executable, *command], log=log, env=env, cwd=environment.ROOT)
            processes.append(child)
        for url in (f"{upstream}/mcp", f"{here}/healthz"):
            until(lambda at=url: _answers(at), f"{url} answers", seconds=60)  # type: ignore[misc]
        world.publish_gateway(
            "bench",
            tools=[
                {
                    "mcp": {
                        "name": "upstream",
                        "prefix": "far_",
                        "url": f"{upstream}/mcp",
                        "effects": {"look": "read"},
                    }
                },
                {"python": "tests.bench.tools.look"},
            ],
            policy=[{"then": "allow"}],
        )
        robot = world.person("robot", "service")
        token = make_token(user=robot, role="service", agent="bench", now=timezone.now())
        times = asyncio.run(_measure(f"{upstream}/mcp", f"{here}/mcp", token, calls))
    finally:
        for child in processes:
            stop_child(child, by=signal.SIGTERM, seconds=5)
    told = {name: spread(values) for name, values in times.items()}
    added = {
        way: {key: round(told[way][key] - told["direct"][key], 2) for key in ("p50", "p95")}
        for way in ("gate", "proxied")
    }
    return {"calls": calls, "ms": told, "added_ms": added["gate"], "added_proxied_ms": added["proxied"]}


async def _measure(direct: str, through: str, token: str, calls: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"direct": [], "gate": [], "proxied": []}
    async with AsyncExitStack() as stack:
        at_server = await stack.enter_async_context(_client(direct))
        at_gate = await stack.enter_async_context(_client(through, Authorization=f"Bearer {token}"))
        ways = (("direct", at_server, "look"), ("gate", at_gate, "look"), ("proxied", at_gate, "far_look"))
        for number in range(WARM_UP + calls):
            for name, client, tool in ways:
                begun = time.perf_counter()
                result = await client.call_tool(tool, {"number": number})
                if result.is_error:
                    raise RuntimeError(f"{name}: {result.content}")
                if number >= WARM_UP:
                    times[name].append(time.perf_counter() - begun)
    return times


@asynccontextmanager
async def _client(url: str, **headers: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=SECONDS, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


def _answers(url: str) -> bool:
    try:
        return httpx2.post(url, json={}, timeout=2, trust_env=False).status_code < 500
    except httpx2.TransportError:
        return False
