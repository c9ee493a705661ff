"""How an MCP server is reached: its key, its place in words, and what it is given, with the secrets among that."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit, urlunsplit

from agents import credentials
from agents.config.tools import CredentialRef, McpServer, Value
from agents.credentials import Secret
from agents.exceptions import BadConfig
from agents.models import Credential
from approvals.digest import digest_of
from traces.redaction import redact_text

INHERITED = ("PATH", "HOME", "LANG")  # of our environment; the rest of it is nobody's business

Stamp = tuple[tuple[str, datetime], ...]  # when each credential of a server was last set


class Unreachable(Exception):
    """The server could not be started or reached, so nothing was sent to it; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a server is given: the environment of its program, or the headers and query of its requests."""

    values: Mapping[str, str]
    query: Mapping[str, str]
    secrets: tuple[Secret, ...]

    def mask(self, text: str) -> str:
        """`text` without what the credentials hold."""
        return redact_text(str(credentials.mask(text, self.secrets)))


def key_of(spec: McpServer) -> str:
    """The key under which its tools are pinned: another command, address or credential is another server."""
    return digest_of(
        {
            "command": list(spec.command),
            "env": _named(spec.env),
            "url": spec.url,
            "headers": _named(spec.headers),
            "credential": spec.credential,
        }
    )


def place_of(spec: McpServer) -> str:
    """Where it is, for people: the command or the address, without secrets."""
    if spec.command:
        return redact_text(shlex.join(spec.command))
    parts = urlsplit(spec.url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def check(spec: McpServer) -> None:
    """Raise BadConfig where it names a credential that does not exist, or an address that is none."""
    for name in _credentials(spec):
        credentials.require(name)
    if spec.url and (urlsplit(spec.url).scheme not in ("http", "https") or not urlsplit(spec.url).hostname):
        raise BadConfig(f"{spec.url!r} is no address of an MCP server: write https://HOST/PATH.")


def stamp_of(spec: McpServer) -> Stamp:
    """When its credentials were last set; a session that began before does not know the new ones."""
    names = _credentials(spec)
    if not names:
        return ()
    return tuple(Credential.objects.filter(name__in=names).order_by("name").values_list("name", "changed_at"))


def given_to(spec: McpServer) -> Given:
    """What the server is given, with its credentials revealed. Raises ToolFailure where one can't be read."""
    host = urlsplit(spec.url).hostname or "" if spec.url else ""
    secrets = {name: credentials.reveal(name, host=host) for name in _credentials(spec)}
    values = {
        name: secrets[value.credential].value if isinstance(value, CredentialRef) else value
        for name, value in (spec.env if spec.command else spec.headers).items()
    }
    query: dict[str, str] = {}
    if spec.command:
        values = {name: os.environ[name] for name in INHERITED if name in os.environ} | values
    if spec.credential:
        values |= secrets[spec.credential].headers()
        query = secrets[spec.credential].query()
    return Given(values, query, tuple(secrets.values()))


def _credentials(spec: McpServer) -> list[str]:
    values = [*spec.env.values(), *spec.headers.values()]
    names = {value.credential for value in values if isinstance(value, CredentialRef)}
    return sorted(names | ({spec.credential} if spec.credential else set()))


def _named(values: Mapping[str, Value]) -> dict[str, object]:
    return {
        name: {"credential": value.credential} if isinstance(value, CredentialRef) else value
        for name, value in values.items()
    }
