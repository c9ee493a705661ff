"""Web Push: a message to a browser of a person, encrypted for it (RFC 8291) and signed by this installation (RFC 8292)."""

import base64
import binascii
import json
from functools import cache
from urllib.parse import urlsplit

import http_ece
import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.utils import timezone
from py_vapid import Vapid02

from agents.tools import egress
from approvals.exceptions import Invalid
from console.notifications.models import PushKey
from console.notifications.words import Message
from traces import sealing

SECONDS = 10.0  # to be taken by the push service
KEPT_FOR = 24 * 3600  # s: how long it keeps a message for a browser that is off
AUTH_BYTES, POINT_BYTES = 16, 65
GONE = (404, 410)


class Refused(Exception):
    """The push service did not take it; `str()` says why. `is_gone`: and never will, for this browser."""

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


def public_key() -> str:
    """What browsers subscribe with; made, sealed and kept where there is none."""
    row = PushKey.objects.order_by("pk").first()
    if row is None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        point = key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        made = PushKey(
            pk=1, sealed=sealing.seal(pem.decode()), public=_written(point), created_at=timezone.now()
        )
        PushKey.objects.bulk_create([made], ignore_conflicts=True)  # of two at once, one is kept
        row = PushKey.objects.get(pk=1)
    return row.public


def subscription(endpoint: str, p256dh: str, auth: str) -> str:
    """A browser's subscription, as it is sealed. Raises Invalid where it can't be one, or may not be reached."""
    try:
        point, secret = _read(p256dh), _read(auth)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except (ValueError, binascii.Error) as error:
        raise Invalid("The browser gave no usable keys: subscribe again.") from error
    if len(point) != POINT_BYTES or len(secret) != AUTH_BYTES:
        raise Invalid("The browser gave no usable keys: subscribe again.")
    try:
        egress.require(endpoint)
    except egress.EgressRefused as error:
        raise Invalid(f"Its push service may not be reached from here. {error}") from error
    return json.dumps({"endpoint": endpoint, "p256dh": _written(point), "auth": _written(secret)})


def send(sealed: bytes, message: Message, *, urgent: bool) -> None:
    """Hand a message to the browser's push service. It holds words of ours and a link. Raises Refused."""
    try:
        to = json.loads(sealing.unseal(sealed))
        key = Vapid02.from_pem(_private())
    except sealing.Unreadable as error:
        raise Refused(str(error)) from error
    *lines, link = message.body.split("\n")
    payload = json.dumps({"title": message.title, "body": "\n".join(lines), "url": link}).encode()
    content = http_ece.encrypt(
        payload,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=_read(to["p256dh"]),
        auth_secret=_read(to["auth"]),
        version="aes128gcm",
    )
    place = urlsplit(to["endpoint"])
    claims = {"aud": f"{place.scheme}://{place.netloc}", "sub": _contact()}
    headers = key.sign(claims) | {
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "aes128gcm",
        "TTL": str(KEPT_FOR),
        "Urgency": "high" if urgent else "normal",
    }
    try:
        status = _client().post(to["endpoint"], content=content, headers=headers).status_code
    except (httpx2.HTTPError, egress.EgressRefused, egress.Unread) as error:
        told = str(error) if isinstance(error, egress.EgressRefused) else type(error).__name__
        raise Refused(f"The push service of {place.hostname} can't be reached: {told}") from error
    if status in GONE:
        raise Refused("This browser takes no messages any more: subscribe in it again.", is_gone=True)
    if not 200 <= status < 300:
        raise Refused(f"The push service of {place.hostname} answered {status}.")


def _private() -> bytes:
    public_key()
    return sealing.unseal(bytes(PushKey.objects.get(pk=1).sealed)).encode()


def _contact() -> str:
    """Whom a push service may ask about what is sent."""
    host = urlsplit(settings.BASE_URL).hostname or ""
    return f"mailto:admin@{host if '.' in host else 'localhost'}"


def _written(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _read(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@cache
def _client() -> httpx2.Client:
    return egress.client(keep_alive=False, timeout=SECONDS)
