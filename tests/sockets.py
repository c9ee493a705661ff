"""A WebSocket client that talks to an ASGI application in this process.

The one of Channels can't be imported without its development server.
"""

import json
from typing import Any, cast

from asgiref.testing import ApplicationCommunicator


class Socket(ApplicationCommunicator):
    """One connection to `path`; what it receives waits until it is asked for."""

    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": headers,
            "subprotocols": [],
        }
        super().__init__(application, cast(Any, scope))

    async def connect(self) -> dict[str, Any]:
        """Open it; what the server answers: `websocket.accept` or `websocket.close`."""
        await self.send_input({"type": "websocket.connect"})
        return await self.next_output()

    async def next_output(self) -> dict[str, Any]:
        """The next thing that the server does."""
        return cast(dict[str, Any], await self.receive_output(timeout=5))

    async def next_message(self) -> dict[str, Any]:
        """The next message, which must be JSON."""
        output = await self.next_output()
        assert output["type"] == "websocket.send", output
        return cast(dict[str, Any], json.loads(output["text"]))

    async def disconnect(self) -> None:
        """Go away, and wait until the server has noticed."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(timeout=5)
