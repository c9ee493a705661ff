"""Web Push, against a push service that speaks the wire format and a browser that can decrypt what it is sent."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import http_ece
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client
from django.utils import timezone
from py_vapid import Vapid02

from agents.providers.routing import using
from agents.providers.scripted import Scripted, call
from console.models import Channel, Notice, PushKey
from console.notifications import outbox, sealed, sending
from console.notifications.models import NoticeStatus
from console.timeline import timeline_of
from tests import world
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-8")]


def written(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@dataclass
class Browser:
    """One device: its keys, and what its push service got for it."""

    port: int = 0
    status: int = 201
    got: list[dict[str, Any]] = field(default_factory=list)
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"sixteen bytes ok"

    @property
    def subscription(self) -> dict[str, str]:
        """As the page sends it."""
        point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        endpoint = f"http://127.0.0.1:{self.port}/send/device-1"
        return {"endpoint": endpoint, "p256dh": written(point), "auth": written(self.auth), "name": "Laptop"}


@contextmanager
def push_service(browser: Browser) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            browser.got.append({"headers": dict(self.headers), "path": self.path, "body": body})
            self.send_response(browser.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    browser.port = server.server_port
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def browser(settings: Any) -> Iterator[Browser]:
    made = Browser()
    with push_service(made):
        settings.EGRESS = [f"http://127.0.0.1:{made.port}"]
        yield made


@pytest.fixture
def ana(client: Client) -> Client:
    client.force_login(world.person("ana", "operator"))
    return client


def subscribe(client: Client, browser: Browser, **changes: str) -> Any:
    return client.post("/me/browsers", browser.subscription | changes)


def told(browser: Browser) -> dict[str, Any]:
    """The last message, decrypted as the browser does."""
    body = http_ece.decrypt(
        browser.got[-1]["body"], private_key=browser.key, auth_secret=browser.auth, version="aes128gcm"
    )
    shown: dict[str, Any] = json.loads(body)
    return shown


def send(channel: Channel) -> None:
    now = timezone.now()
    outbox.collect(now=now)
    sending.send_due(channel.pk, now=timezone.now())


def test_a_request_is_told_by_reference_and_link_encrypted_and_signed(ana: Client, browser: Browser) -> None:
    page = ana.get("/me").content.decode()
    assert f'data-key="{PushKey.objects.get().public}"' in page
    assert subscribe(ana, browser).status_code == 302
    channel = Channel.objects.get()
    outbox.collect(now=timezone.now())  # from here on
    with using(Scripted([call("pay", account="globex", amount=77.25)])):
        world.publish_agent()
        approval = world.pending(world.carry_on(world.start(input="Pay globex.")))
    send(channel)
    shown = told(browser)
    assert shown["url"].endswith(f"/inbox/{approval.pk}")
    assert approval.pk.hex[-8:] in shown["body"]
    assert "globex" not in json.dumps(shown)
    assert "77" not in shown["title"]
    headers = browser.got[-1]["headers"]
    assert headers["Content-Encoding"] == "aes128gcm"
    assert headers["Urgency"] == "high"
    assert int(headers["TTL"]) > 0
    assert Vapid02.verify(headers["Authorization"])
    assert PushKey.objects.get().public in headers["Authorization"]
    claims = headers["Authorization"].split("t=")[1].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["aud"] == f"http://127.0.0.1:{browser.port}"
    assert any(entry.kind == "told" and "Laptop" in entry.what for entry in timeline_of(approval))


def test_a_browser_that_is_gone_is_removed_and_a_failing_service_is_tried_again(
    ana: Client, browser: Browser
) -> None:
    subscribe(ana, browser)
    channel = Channel.objects.get()
    outbox.collect(now=timezone.now())
    with using(Scripted([call("pay", account="acme", amount=1)])):
        world.publish_agent()
        world.carry_on(world.start())
    browser.status = 503
    send(channel)
    notice = Notice.objects.get()
    assert notice.status == NoticeStatus.WAITING
    assert "answered 503" in notice.error
    browser.status = 410
    Notice.objects.update(next_at=timezone.now())
    sending.send_due(channel.pk, now=timezone.now())
    channel.refresh_from_db()
    assert (bytes(channel.sealed), channel.paused) == (b"", True)
    assert Notice.objects.get().status == NoticeStatus.FAILED
    assert Event.objects.get(name="channel.gone").data["name"] == "Laptop"
    assert "takes no messages any more" in ana.get("/me").content.decode()
    assert ana.post(f"/me/channels/{channel.pk}/delete").status_code == 302
    assert not Channel.objects.exists()


def test_only_what_may_be_reached_is_subscribed_and_all_is_sealed(
    ana: Client, browser: Browser, settings: Any
) -> None:
    subscribe(ana, browser, endpoint="http://127.0.0.1:9/send")
    subscribe(ana, browser, endpoint="javascript:alert(1)")
    subscribe(ana, browser, p256dh=written(b"\x04" + b"\x01" * 64))
    subscribe(ana, browser, auth="short")
    assert not Channel.objects.exists()
    ana.get("/me")  # the page makes the key
    subscribe(ana, browser)
    channel = Channel.objects.get()
    stored = bytes(channel.sealed) + bytes(PushKey.objects.get().sealed)
    assert b"127.0.0.1" not in stored
    assert b"PRIVATE KEY" not in stored
    form = ana.get(f"/me/channels/{channel.pk}").content.decode()
    assert 'name="with_title"' not in form
    assert 'name="address"' not in form
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another key " * 5
    assert sealed.reseal() == (2, [])
    settings.SECRET_KEY_FALLBACKS = []
    ana.force_login(world.person("ana", "operator"))
    ana.post(f"/me/channels/{channel.pk}/test")
    assert told(browser)["title"] == "Gatehouse: a test"
    settings.EGRESS = ["https://*.example.com"]
    assert sending.send_test(channel, now=timezone.now()).status == NoticeStatus.FAILED
    assert len(browser.got) == 1


def test_the_worker_is_served_at_the_root_as_a_script(client: Client) -> None:
    answer = client.get("/push-worker.js")
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert b"notificationclick" in b"".join(answer)
