"""A program that takes callbacks in tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            here.hold.wait(20)
            status, answer, headers = here.answers.pop(0) if here.answers else (200, b"", {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            try:
                self.wfile.write(answer)
            except OSError:
                pass  # whoever asked has read enough

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    here.hold.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield here
    finally:
        here.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
