"""A program as an MCP server: its process, its lines, and its end with all its children.

The SDK has a transport for this, which holds a line of any length in memory, logs each line that is no message, and
passes more of our environment on than a program is to know.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCNotification, jsonrpc_message_adapter

from agents.tools.mcp.wire import Lines, TooLong
from traces.wellformed import mended

HEARD = frozenset(  # all other notifications are dropped where they come in
    {"notifications/tools/list_changed", "notifications/progress", "notifications/cancelled"}
)
CHUNK = 256 * 1024
GRACE = 1.0  # s, to end by itself once its input is closed, and again after SIGTERM
LOOK_EVERY = 0.5  # s, whether the program ended while something else holds its output open

Inbound = MemoryObjectSendStream[SessionMessage | Exception]
Outbound = MemoryObjectReceiveStream[SessionMessage]

_running: set[int] = set()  # process groups


class Errors:
    """The last lines that a program wrote to its standard error, for people."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=20)

    def add(self, line: bytes | TooLong) -> None:
        """Keep the beginning of a line."""
        text = line.head if isinstance(line, TooLong) else line[:400]
        if text.strip():
            self._lines.append(text.decode(errors="replace").rstrip())

    def __str__(self) -> str:
        return "\n".join(self._lines)[-2000:]


@asynccontextmanager
async def program(
    command: Sequence[str], env: Mapping[str, str], *, errors: Errors, ended: Callable[[], None]
) -> AsyncIterator[TransportStreams]:
    """A running program as the SDK's streams of messages; it is ended with the block. Raises OSError, ValueError.

    `ended` is called once its output is closed or it is gone.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    _running.add(process.pid)
    inbound, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, outbound = anyio.create_memory_object_stream[SessionMessage](0)
    complaints = asyncio.create_task(_listen(process, errors))
    tasks = [
        asyncio.create_task(_read(process, inbound, errors, ended)),
        asyncio.create_task(_write(process, outbound, inbound)),
        asyncio.create_task(_watch(process, inbound, ended)),
    ]
    try:
        yield read, write
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (inbound, read, write, outbound):
            stream.close()
        await _end(process)
        await asyncio.wait([complaints], timeout=GRACE)  # what it said last says most
        complaints.cancel()
        await asyncio.gather(complaints, return_exceptions=True)


def kill_all() -> None:
    """Kill every program that still runs, with its children, at once."""
    for group in list(_running):
        _signal(group, signal.SIGKILL)


async def _read(
    process: asyncio.subprocess.Process, inbound: Inbound, errors: Errors, ended: Callable[[], None]
) -> None:
    assert process.stdout is not None
    lines = Lines()
    try:
        while chunk := await process.stdout.read(CHUNK):
            for line in lines.feed(chunk):
                message = _message(line, errors)
                if message is not None:
                    await inbound.send(message)
            await asyncio.sleep(0)  # a flood must not keep the other servers waiting
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        pass
    finally:
        inbound.close()
        ended()


def _message(line: bytes | TooLong, errors: Errors) -> SessionMessage | None:
    """The message that a line is; None where it is none, or none that anybody waits for."""
    if isinstance(line, TooLong):
        answer = line.answer()
        return SessionMessage(answer) if answer else None
    try:
        message = jsonrpc_message_adapter.validate_json(mended(line), by_name=False)
    except ValueError:
        errors.add(line)
        return None
    if isinstance(message, JSONRPCNotification) and message.method not in HEARD:
        return None
    return SessionMessage(message)


async def _write(process: asyncio.subprocess.Process, outbound: Outbound, inbound: Inbound) -> None:
    assert process.stdin is not None
    try:
        async for sent in outbound:
            data = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(data.encode(errors="replace") + b"\n")
            await process.stdin.drain()
    except OSError:
        inbound.close()  # else whoever waits for an answer would wait for ever


async def _watch(process: asyncio.subprocess.Process, inbound: Inbound, ended: Callable[[], None]) -> None:
    await _gone(process, every=LOOK_EVERY)
    await asyncio.sleep(LOOK_EVERY)  # what it wrote last is still read
    inbound.close()
    ended()


async def _listen(process: asyncio.subprocess.Process, errors: Errors) -> None:
    assert process.stderr is not None
    lines = Lines(limit=4000)
    while chunk := await process.stderr.read(CHUNK):
        for line in lines.feed(chunk):
            errors.add(line)
        await asyncio.sleep(0)
    for line in lines.feed(b"\n"):
        errors.add(line)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input, and kill what is left of it and its children after a moment."""
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await _gone(process, every=0.01)
                break
    _signal(process.pid, signal.SIGKILL)  # children that outlived it
    _running.discard(process.pid)
    transport = getattr(process, "_transport", None)
    if transport is not None:  # else it warns that nobody closed it, while a stray child holds a pipe open
        transport.close()


async def _gone(process: asyncio.subprocess.Process, *, every: float) -> None:
    """Wait until it ended. Its own `wait` waits for all that hold its pipes open, too."""
    while process.returncode is None:  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(every)


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
