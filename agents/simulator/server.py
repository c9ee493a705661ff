"""The simulator as a server: in a thread of this process, for tests, or as the whole process."""

import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import uvicorn

from agents.simulator.app import make_app
from agents.simulator.faults import Fault, FaultQueue
from agents.simulator.scripts import Script

START_SECONDS = 10.0


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class SimulatorServer:
    """The simulator in a thread of its own, from `with` to the end of the block, at `url`.

    `port` 0 is a free port. `faults.order(fault, count)` makes the next requests go wrong.
    """

    def __init__(self, scripts: Sequence[Script] = (), *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.faults = FaultQueue()
        self._socket = bound(host, port)
        self._server = _Server(config(scripts, self.faults))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="simulator", daemon=True
        )
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"

    def misbehave(self, fault: Fault, *, count: int = 1) -> None:
        """Let the next `count` requests meet `fault`."""
        self.faults.order(fault, count)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._server.ready.wait(START_SECONDS):
            self._server.should_exit = True
            raise RuntimeError(f"The simulator did not start at {self.url} within {START_SECONDS:g} s.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._socket.close()


def serve(scripts: Sequence[Script], *, host: str, port: int) -> None:
    """Run the simulator in this process until SIGTERM or Ctrl-C. Raises OSError where the port is taken."""
    listening = bound(host, port)
    with suppress(KeyboardInterrupt):
        sys.stdout.write(f"ready http://{host}:{listening.getsockname()[1]} scripts {len(scripts)}\n")
        sys.stdout.flush()
        _Server(config(scripts, FaultQueue())).run(sockets=[listening])


def config(scripts: Sequence[Script], faults: FaultQueue) -> uvicorn.Config:
    """How uvicorn runs it: silent, since hanging up in the middle is one of its faults, and quick to stop.

    Idle connections are kept longer than clients keep them, so that none is closed just as it is used again.
    """
    return uvicorn.Config(
        make_app(scripts, faults),
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
        lifespan="off",
    )


def bound(host: str, port: int) -> socket.socket:
    """A listening socket, so that callers may connect at once. Raises OSError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(2048)
    except OSError:
        listening.close()
        raise
    return listening
