"""The Ed25519 keys that sign seals: made once, the private part stored encrypted."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.utils import timezone

from traces import sealing
from traces.audit.forms import signed_bytes
from traces.models import AuditKey


class Signer:
    """A private key in use."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, digest: str, *, what: str) -> str:
        """The signature over `digest`, in hex; `what` it is of goes in."""
        return self._private.sign(signed_bytes(digest, what=what)).hex()


def signer() -> Signer:
    """The newest key; made where there is none, by a caller that holds the sealer's lock. Raises sealing.Unreadable."""
    row = AuditKey.objects.order_by("-pk").first()
    return _open(row) if row is not None else _make()


def replace() -> Signer:
    """A new key that signs from now on, where the one before can't be read any more or was stolen."""
    return _make()


def public_keys() -> list[str]:
    """The public keys of this installation, oldest first."""
    return list(AuditKey.objects.order_by("pk").values_list("public", flat=True))


def own_keys() -> list[str]:
    """Those whose private part this installation can open: nobody without SECRET_KEY can have put them there."""
    own = []
    for row in AuditKey.objects.order_by("pk"):
        try:
            if _open(row).public == row.public:
                own.append(row.public)
        except sealing.Unreadable:
            continue
    return own


def _open(row: AuditKey) -> Signer:
    return Signer(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sealing.unseal(bytes(row.sealed)))))


def _make() -> Signer:
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    made = Signer(private)
    AuditKey.objects.create(public=made.public, sealed=sealing.seal(raw.hex()), created_at=timezone.now())
    return made
