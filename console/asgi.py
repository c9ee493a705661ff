"""The ASGI application that uvicorn serves: pages and API over HTTP, live channels over WebSocket."""

import os
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

pages = get_asgi_application()

from console.gateway.app import PATH, gateway  # noqa: E402 (models can be loaded only now)
from console.routing import websocket  # noqa: E402


async def http(scope: Any, receive: Any, send: Any) -> None:
    """The gateway speaks MCP's own transport; all else is Django's."""
    to = gateway if scope["path"] in (PATH, f"{PATH}/") else pages
    await to(scope, receive, send)


application = ProtocolTypeRouter({"http": http, "websocket": websocket, "lifespan": gateway.lifespan})
