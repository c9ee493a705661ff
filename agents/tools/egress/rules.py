"""The allow-list of schemes and hosts, and what an address must be where a host is not named exactly."""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

import httpx2
from django.conf import settings

from agents.tools.egress.addresses import METADATA, kind_of
from agents.tools.results import ToolFailure

PORTS = {"http": 80, "https": 443}

_ENTRY = re.compile(r"\A(https?)://(\*|\*\.[^/*\[\]:@?#]+|\[[^\]]+\]|[^/*\[\]:@?#]+)(?::(\d{1,5}))?/?\Z")
_NAME = re.compile(r"\A(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")
_NUMBER = re.compile(
    r"\A(0x[0-9a-f]*|[0-9]+)\Z"
)  # how a host ends that some resolvers take for an IPv4 address


class EgressRefused(ToolFailure):
    """The rules don't let a request out; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes."""

    scheme: str
    host: str  # lower-case ASCII, or an IP address in its one short form
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry: its host is a name, an IP address, *.DOMAIN or * (any)."""

    place: Place

    def admits(self, place: Place) -> bool:
        """Whether a request may go there, if what the name leads to is public or the host is named exactly."""
        mine = self.place
        if (mine.scheme, mine.port) != (place.scheme, place.port):
            return False
        if mine.host.startswith("*."):
            return place.host.endswith(mine.host[1:])
        return mine.host in ("*", place.host)


def rules() -> tuple[Rule, ...]:
    """The entries of GATEHOUSE_EGRESS. Raises EgressRefused where one can't be read: then nothing gets out."""
    return _parsed(tuple(settings.EGRESS))


def require(url: httpx2.URL | str) -> Place:
    """Where a URL leads. Raises EgressRefused where no rule admits it; the address behind a name comes later."""
    place = place_of(url)
    if not any(rule.admits(place) for rule in rules()):
        raise EgressRefused(
            f"{place} may not be reached: no egress rule admits it."
            f" Where it should be, an admin adds {place} to GATEHOUSE_EGRESS."
        )
    if _is_literal(place.host):
        require_address(place.host, place.port, place.host)
    return place


def require_address(host: str, port: int, address: str) -> None:
    """Raise EgressRefused unless `host`, which leads to `address`, may be reached there."""
    host, kind = _host(host), kind_of(ip_address(address))
    named = {rule.place.host for rule in rules() if rule.place.port == port}
    if not kind or (host in named and (kind != METADATA or address in named)):
        return
    leads = f"{host} leads to {address}, which is" if host != address else f"{address} is"
    wanted = address if kind == METADATA else host
    raise EgressRefused(
        f"{host} may not be reached: {leads} {kind}."
        f" Where it should be, an admin adds {wanted} itself, with its scheme and port, to GATEHOUSE_EGRESS."
    )


def place_of(url: httpx2.URL | str) -> Place:
    """Where a URL leads, in its one form. Raises EgressRefused for one that could be read in two ways."""
    try:
        url = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError, ValueError) as error:
        raise EgressRefused(f"This is no address that can be reached: {error}.") from error
    if url.scheme not in PORTS:
        raise EgressRefused(f"{url.scheme or 'An address without scheme'}: only http and https are allowed.")
    if url.userinfo:
        raise EgressRefused(f"{url.scheme}://…@{url.host}: an address with user and password is not allowed.")
    port = PORTS[url.scheme] if url.port is None else url.port
    if not 0 < port < 65536:
        raise EgressRefused(f"{port} is no port.")
    return Place(url.scheme, _host(url.raw_host.decode("ascii", "replace").lower()), port)


def _host(host: str) -> str:
    if "%" not in host:  # a zone, or letters that are written as numbers
        try:
            return ip_address(host).compressed
        except ValueError:
            pass
    if host.endswith("."):
        raise EgressRefused(f"{host}: leave out the dot at the end of the host.")
    if not _NAME.match(host):
        raise EgressRefused(f"{host!r} is no host: write a name, or an IP address without zone.")
    if _NUMBER.match(host.rpartition(".")[2]):
        raise EgressRefused(f"{host} is no host: write an IPv4 address as four decimal numbers.")
    return host


def _is_literal(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()


@lru_cache(maxsize=16)
def _parsed(entries: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(_rule(entry) for entry in entries)


def _rule(entry: str) -> Rule:
    match = _ENTRY.match(entry)
    if match is None:
        raise EgressRefused(
            f"GATEHOUSE_EGRESS has the entry {entry!r}: write https://*, https://*.example.com or http://HOST:PORT."
        )
    scheme, host, port = match.groups()
    if host == "*":
        return Rule(Place(scheme, host, int(port or PORTS[scheme])))
    rest = host.removeprefix("*.")
    place = place_of(f"{scheme}://{rest}" + (f":{port}" if port else ""))
    return Rule(Place(scheme, host[: len(host) - len(rest)] + place.host, place.port))
