"""A call of a program, from its arrival to its result, or to the moment when the program has waited long enough."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from mcp_types import CallToolResult

from agents.direct import call_of, call_tool
from agents.exceptions import AgentError
from agents.models import Run, ToolCall
from agents.states import FINAL_RUN
from agents.tools.mcp import progress
from agents.tools.spec import Effect
from approvals.exceptions import GateError
from console.api.waiting import wait_until
from console.gateway.answers import answer, pending, refused
from console.gateway.caller import Caller
from console.gateway.threads import in_thread

WAIT_SECONDS, MAX_WAIT = 50.0, 3600.0  # most clients give up after 60 s without progress
PROGRESS_SECONDS = 5.0

Report = Callable[[float, float | None, str | None], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the caller wants of a call."""

    wait: float = WAIT_SECONDS  # s
    key: str = ""
    reason: str = ""
    subject: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, meta: Mapping[str, Any], prefer: str) -> "Asked":
        """From the `_meta` of the call, or the header `Prefer: wait=SECONDS` of all calls of a client."""
        wait, preferred = meta.get("gatehouse/wait"), re.search(r"\bwait=(\d{1,5})\b", prefer)
        if not isinstance(wait, int | float):
            wait = float(preferred[1]) if preferred else WAIT_SECONDS
        subject = meta.get("gatehouse/subject")
        return cls(
            wait=float(min(max(wait, 0), MAX_WAIT)),
            key=str(meta.get("gatehouse/idempotencyKey") or ""),
            reason=str(meta.get("gatehouse/reason") or "")[:2000],
            subject=subject if isinstance(subject, dict) else None,
        )


async def call(
    caller: Caller, tool: str, arguments: dict[str, Any], *, asked: Asked, report: Report
) -> CallToolResult:
    """What became of the call; nothing of it depends on the caller's staying."""
    try:
        with progress.listening(_passing_on(report)):
            made = await in_thread(_begin, caller, tool, arguments, asked)
    except (AgentError, GateError) as error:
        return refused(str(error))
    if made.run.status not in FINAL_RUN:
        await _wait(made.run, asked.wait, report)
        made = await in_thread(call_of, made.run)
    if made.run.status not in FINAL_RUN:
        return pending(made.run, made)
    if made.effect != Effect.READ:
        caller.told.append(made.run)
    return answer(made.run, made)


def _passing_on(report: Report) -> progress.Heard:
    """What an MCP server tells of a call that is made here, the caller hears too."""
    loop, telling = asyncio.get_running_loop(), set[Future[None]]()

    async def tell(done: float, total: float | None, words: str) -> None:
        with suppress(Exception):  # the caller went away, which ends nothing
            await report(done, total, words or None)

    def heard(done: float, total: float | None, words: str) -> None:
        task = asyncio.run_coroutine_threadsafe(tell(done, total, words), loop)
        telling.add(task)  # the loop itself would forget it
        task.add_done_callback(telling.discard)

    return heard


def _begin(caller: Caller, tool: str, arguments: dict[str, Any], asked: Asked) -> ToolCall:
    version = caller.version
    if version is None:
        raise AgentError(f"The agent {caller.agent!r}, to which this token is bound, has no live version.")
    return call_tool(
        version=version,
        tool=tool,
        arguments=arguments,
        actor=caller.actor,
        via="mcp",
        reason=asked.reason,
        key=asked.key,
        subject=dict(asked.subject or {}),
    )


async def _wait(run: Run, seconds: float, report: Report) -> None:
    """Until the run is over or `seconds` have passed; the caller hears that it goes on."""
    begun = time.monotonic()
    over = Run.objects.filter(pk=run.pk, status__in=FINAL_RUN)
    while (waited := time.monotonic() - begun) < seconds and not await in_thread(over.exists):
        await report(waited, seconds, _where(run))
        left = begun + seconds - time.monotonic()
        await wait_until(lambda: over.all().exists(), seconds=max(0.0, min(PROGRESS_SECONDS, left)))


def _where(run: Run) -> str:
    return f"{run.reason or 'At work.'} {settings.BASE_URL}/runs/{run.pk}"
