"""What admins do with credentials: what they may be, who needs them, which key they are sealed with."""

import re
from collections.abc import Iterator
from typing import Any, NoReturn

from django.contrib.auth.models import User
from django.db import transaction

from agents.exceptions import BadConfig
from agents.models import Agent, Credential
from traces import sealing
from traces.recorder import record

Kind = Credential.Kind

_NAME = re.compile(r"\A[a-z][a-z0-9_-]{0,63}\Z")
_PARAMETER = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_HOST = re.compile(r"\A(?=.{1,253}\Z)[a-z0-9_:\[\]-]+(\.[a-z0-9_-]+)*\Z")


def check(
    row: Credential | None, *, name: str, kind: str, parameter: str, hosts: list[str], secret: str | None
) -> None:
    """Raise BadConfig, whose errors name fields, unless the credential `row` (None: a new one) may become so.

    Without a secret it may be sent to no further place, and in no other way, than it is: else whoever may change a
    credential could have it sent to themselves.
    """
    if not _NAME.match(name):
        _refuse(
            "name", f"{name!r}: use lower-case letters, digits, - and _, beginning with a letter, at most 64."
        )
    if kind not in Kind.values:
        _refuse("kind", f"There is no kind {kind!r}: choose {', '.join(Kind.values)}.")
    named = kind in (Kind.HEADER, Kind.QUERY)
    if named and not _PARAMETER.match(parameter):
        _refuse("parameter", f"Name the {kind} that carries it, such as X-Api-Key.")
    if not named and parameter:
        _refuse("parameter", f"Only header and query have one; the kind is {kind}.")
    for host in hosts:
        if not _HOST.match(host):
            _refuse("hosts", f"{host!r} is no host: write api.example.com, without scheme, port and path.")
    if secret is None:
        if row is None:
            _refuse("secret", "Give the secret: a new credential has none yet.")
        if _goes_further(row, kind, parameter, hosts):
            _refuse("secret", "Give the secret anew: it would go to another place, or in another way.")
        return
    if not secret or "\x00" in secret:
        _refuse("secret", "The secret is empty, or holds a NUL character.")
    if kind != Kind.VALUE and not (secret.isascii() and secret.isprintable()):
        _refuse("secret", f"A {kind} secret is one line of ASCII; this holds another character.")
    if kind == Kind.BASIC and ":" not in secret:
        _refuse("secret", "Write user and password as user:password.")


@transaction.atomic
def remove(row: Credential, *, actor: User | None) -> None:
    """Delete a credential that no agent names. Raises BadConfig."""
    if agents := users_of(row.name):
        raise BadConfig(
            f"{', '.join(agents)} would fail without the credential {row.name}: publish without it."
        )
    note("removed", row, actor)
    row.delete()


def users_of(name: str) -> list[str]:
    """The agents whose live version names this credential."""
    live = Agent.objects.exclude(live_version=None).select_related("live_version").order_by("name")
    return [
        agent.name for agent in live if agent.live_version and name in set(_named(agent.live_version.config))
    ]


def reseal() -> tuple[int, list[str]]:
    """Seal all credentials with the newest key: how many were, and the names of those that nobody can read."""
    count, unreadable = 0, []
    for pk, name in Credential.objects.values_list("pk", "name"):
        with transaction.atomic():
            row = Credential.objects.select_for_update(of=("self",)).filter(pk=pk).first()
            if row is None:
                continue
            try:
                Credential.objects.filter(pk=pk).update(sealed=sealing.reseal(bytes(row.sealed)))
            except sealing.Unreadable:
                unreadable.append(name)
            else:
                count += 1
    return count, unreadable


def note(what: str, row: Credential, actor: User | None) -> None:
    """Record what was done to a credential; of its secret, nothing."""
    record(
        f"credential.{what}",
        actor=f"user:{actor.get_username()}" if actor else "system",
        object_id=str(row.pk),
        data={"name": row.name, "kind": row.kind, "hosts": row.hosts},
    )


def _goes_further(row: Credential, kind: str, parameter: str, hosts: list[str]) -> bool:
    more = bool(row.hosts) and (not hosts or bool(set(hosts) - set(row.hosts)))
    return more or (kind, parameter) != (row.kind, row.parameter)


def _refuse(field: str, message: str) -> NoReturn:
    raise BadConfig(message, errors=[{"path": [field], "message": message}])


def _named(value: Any) -> Iterator[str]:
    """The names of credentials in a part of a configuration."""
    match value:
        case dict():
            if isinstance(name := value.get("credential"), str):
                yield name
            for item in value.values():
                yield from _named(item)
        case list():
            for item in value:
                yield from _named(item)
