"""Where the live channels are."""

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier
from django.urls import path, re_path

from console.consumers import FeedConsumer, RunConsumer

# Django's path() is typed for views alone, while URLRouter takes it for sockets too.
feed: Any = FeedConsumer.as_asgi()
run: Any = RunConsumer.as_asgi()
nothing: Any = WebsocketDenier.as_asgi()
routes: list[Any] = [path("ws/feed", feed), path("ws/runs/<uuid:run_id>", run), re_path("", nothing)]

# A page of another site can open a socket with this site's cookies: hence the check of Origin.
websocket = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes)))
