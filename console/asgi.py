"""The ASGI application that uvicorn serves: pages and API over HTTP, live channels over WebSocket."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

pages = get_asgi_application()

from console.routing import websocket  # noqa: E402 (the consumers' models can be loaded only now)

application = ProtocolTypeRouter({"http": pages, "websocket": websocket})
