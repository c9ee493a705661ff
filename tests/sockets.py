"""A WebSocket client that talks to an ASGI application in this process.

The one of Channels can't be imported without its development server.
"""

import json
from typing import Any, cast

from asgiref import testing

PATIENCE = 5  # s


class Socket:
    """One connection to `path`; what it receives waits until it is asked for."""

    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": headers,
            "subprotocols": [],
        }
        communicator: Any = testing.ApplicationCommunicator
        self._communicator = communicator(application, scope)

    async def connect(self) -> dict[str, Any]:
        """Open it; what the server answers: `websocket.accept` or `websocket.close`."""
        await self._communicator.send_input({"type": "websocket.connect"})
        return await self.next_output()

    async def next_output(self) -> dict[str, Any]:
        """The next thing that the server does."""
        return cast(dict[str, Any], await self._communicator.receive_output(timeout=PATIENCE))

    async def next_message(self) -> dict[str, Any]:
        """The next message, which must be JSON."""
        output = await self.next_output()
        assert output["type"] == "websocket.send", output
        return cast(dict[str, Any], json.loads(output["text"]))

    async def send(self, text: str) -> None:
        """Say something to the server."""
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def is_quiet(self, seconds: float) -> bool:
        """Whether the server says nothing for so long."""
        return bool(await self._communicator.receive_nothing(timeout=seconds))

    async def disconnect(self) -> None:
        """Go away, and wait until the server has noticed."""
        await self._communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.ended()

    async def ended(self) -> None:
        """Wait until the server is done with this connection."""
        await self._communicator.wait(timeout=PATIENCE)
