"""A program that takes callbacks in tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from standardwebhooks import Webhook

from tests.serving import reply, serving


@dataclass
class Receiver:
    """What came, and what is answered: the next of `answers` (status, body, headers), then 200."""

    url: str
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)  # set: answers come

    def say(self, *statuses: int, body: bytes = b"", **headers: str) -> None:
        """Answer so, once each."""
        self.answers += [(status, body, headers) for status in statuses]

    def verified(self, secret: str, place: int = -1) -> Any:
        """The body of what came, as the library of a receiver makes it; raises where the signature is not good."""
        headers, body = self.got[place]
        return Webhook(secret).verify(body, headers)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that listens on loopback."""

    here = Receiver("")
    here.hold.set()

    def take(handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        here.got.append(({name.lower(): value for name, value in handler.headers.items()}, body))
        here.hold.wait(20)
        status, answer, headers = here.answers.pop(0) if here.answers else (200, b"", {})
        reply(handler, status, answer, **headers)

    with serving(take) as port:
        here.url = f"http://127.0.0.1:{port}/hook"
        yield here
        here.hold.set()
