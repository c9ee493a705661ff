"""Which notification addresses are taken: services that we know, and hosts that an installation may reach."""

import difflib

import apprise
from apprise.plugins.base import NotifyBase

from agents.tools import egress
from agents.tools.egress.rules import PORTS
from approvals.exceptions import Invalid

# What follows the scheme is a name at that service.
SERVICES = {
    "discord": "Discord",
    "gchat": "Google Chat",
    "msteams": "Microsoft Teams",
    "pover": "Pushover",
    "slack": "Slack",
    "tgram": "Telegram",
    "workflows": "Microsoft Teams (workflows)",
}
# What follows the scheme is, or may be, a host of one's own. The value: whether it goes there by TLS.
SELF_HOSTED = {
    "gotify": False,
    "gotifys": True,
    "json": False,
    "jsons": True,
    "mailto": True,  # STARTTLS, or refused by the server
    "mailtos": True,
    "matrix": False,
    "matrixs": True,
    "mmost": False,
    "mmosts": True,
    "ntfy": False,
    "ntfys": True,
    "xml": False,
    "xmls": True,
}
SCHEMES = sorted({*SERVICES, *SELF_HOSTED})
SECONDS = 5.0  # to connect, and to be answered


def open_address(address: str) -> NotifyBase:
    """What sends to `address`. Raises Invalid, saying why, where none does or it may not be reached."""
    scheme = scheme_of(address)
    if scheme not in SCHEMES:
        near = difflib.get_close_matches(scheme, SCHEMES, n=1)
        meant = f" Did you mean {near[0]}://?" if near else ""
        raise _bad(f"{scheme or 'This'} is no known kind of address.{meant} Known: {', '.join(SCHEMES)}.")
    sender = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if not isinstance(sender, NotifyBase):
        raise _bad(f"This is no complete {scheme} address; see https://appriseit.com/services for its form.")
    if scheme in SELF_HOSTED:
        try:
            _require_reachable(scheme, sender)
        except egress.EgressRefused as error:
            raise _bad(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise _bad(f"Its host has no address ({error}).") from error
    # Whatever the address says: where it leads is where it goes, over checked certificates, and it doesn't wait.
    sender.redirects = False
    sender.verify_certificate = True
    sender.socket_connect_timeout = sender.socket_read_timeout = SECONDS
    sender.request_rate_per_sec = 0
    return sender


def scheme_of(address: str) -> str:
    """How it begins."""
    return address.strip().partition("://")[0].lower() if "://" in address else ""


def _require_reachable(scheme: str, sender: NotifyBase) -> None:
    """Raise EgressRefused where the host of one's own may not be reached. Mail servers may be any that are public."""
    if getattr(sender, "mode", "") == "cloud":
        return  # of ntfy: the public service
    host = getattr(sender, "smtp_host", "") or getattr(sender, "host", "") or ""
    if not host:
        return
    web = "https" if SELF_HOSTED[scheme] else "http"
    port = sender.port or PORTS[web]
    if scheme not in ("mailto", "mailtos"):
        written = f"[{host}]" if ":" in host and not host.startswith("[") else host
        egress.require(f"{web}://{written}:{port}/")
    for address in egress.resolve(host, port):
        egress.require_address(host, port, address)


def _bad(problem: str) -> Invalid:
    return Invalid(problem, errors=[{"path": ["address"], "message": problem}])
