"""Credentials of tools: set by admins, read only where a call is about to be sent."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from agents.exceptions import BadConfig
from agents.models import Credential
from agents.nearest import hint
from agents.safekeeping import check, note
from agents.tools.results import ToolFailure
from traces import sealing

USED_EVERY = timedelta(minutes=1)
Kind = Credential.Kind


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential in hand, for one call."""

    name: str
    kind: str
    parameter: str
    value: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """The headers by which it is sent; none where it is a query parameter."""
        match self.kind:
            case Kind.BEARER:
                return {"Authorization": f"Bearer {self.value}"}
            case Kind.BASIC:
                return {"Authorization": f"Basic {base64.b64encode(self.value.encode()).decode()}"}
            case Kind.HEADER:
                return {self.parameter: self.value}
        return {}

    def query(self) -> dict[str, str]:
        """The query parameters by which it is sent."""
        return {self.parameter: self.value} if self.kind == Kind.QUERY else {}


def reveal(name: str, *, host: str = "", now: datetime | None = None) -> Secret:
    """The credential, to be sent to `host` (none: given to a program of ours). Raises ToolFailure."""
    now = now or timezone.now()
    row = Credential.objects.filter(name=name).first()
    if row is None:
        raise ToolFailure(f"The credential {name} of this tool does not exist: an admin must set it.")
    if host and row.hosts and host.lower() not in row.hosts:
        raise ToolFailure(f"The credential {name} may not be sent to {host}.")
    try:
        value = sealing.unseal(bytes(row.sealed))
    except sealing.Unreadable as error:
        raise ToolFailure(f"The credential {name} can't be read. {error}") from error
    if row.last_used_at is None or row.last_used_at <= now - USED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USED_EVERY)
        Credential.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    return Secret(row.name, row.kind, row.parameter, value)


def require(name: str) -> None:
    """Raise BadConfig unless there is a credential of this name."""
    if name and not Credential.objects.filter(name=name).exists():
        known = Credential.objects.order_by("name").values_list("name", flat=True)
        raise BadConfig(f"There is no credential {name!r}: {hint(name, known)} Else set it first.")


def mask(value: Any, secrets: Iterable[Secret]) -> Any:
    """`value` (JSON) without what these credentials hold, wherever it came back."""
    match value:
        case str():
            for secret in secrets:
                for part in _parts(secret):
                    value = value.replace(part, f"[credential {secret.name}]")
            return value
        case dict():
            return {mask(key, secrets): mask(item, secrets) for key, item in value.items()}
        case list() | tuple():
            return [mask(item, secrets) for item in value]
    return value


@transaction.atomic
def keep(
    *,
    name: str,
    kind: str,
    parameter: str,
    hosts: Iterable[str],
    secret: str | None,
    actor: User | None,
    now: datetime,
) -> Credential:
    """Set a credential, new or rotated; its secret is never shown again. Raises BadConfig, whose errors name fields.

    Without `secret` the one before stays.
    """
    wanted = sorted({host.strip().lower() for host in hosts} - {""})
    row = Credential.objects.select_for_update(of=("self",)).filter(name=name).first()
    check(row, name=name, kind=kind, parameter=parameter, hosts=wanted, secret=secret)
    values: dict[str, Any] = {
        "kind": kind,
        "parameter": parameter,
        "hosts": wanted,
        "changed_at": now,
        "changed_by": actor,
    }
    if secret is not None:
        values["sealed"] = sealing.seal(secret)
    row, created = Credential.objects.update_or_create(
        name=name, defaults=values, create_defaults=values | {"created_at": now}
    )
    what = "created" if created else "changed" if secret is None else "rotated"
    note(what, row, actor)
    return row


def _parts(secret: Secret) -> list[str]:
    """The secret as it may come back: itself, encoded, or the password alone."""
    quoted = json.dumps(secret.value)[1:-1]
    parts = [
        *(secret.value, quoted, quoted.replace("/", r"\/")),
        base64.b64encode(secret.value.encode()).decode(),
        quote(secret.value, safe=""),
    ]
    if secret.kind == Kind.BASIC:
        parts.append(secret.value.partition(":")[2])
    return [part for part in parts if len(part) >= 4]
