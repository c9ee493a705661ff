"""Where callbacks may go."""

import ipaddress
from urllib.parse import urlsplit

from django.conf import settings

from approvals.exceptions import Invalid


def check_address(url: str) -> None:
    """Raise Invalid, saying why, unless callbacks may be sent to `url`.

    What its name stands for is looked at again whenever something is sent there.
    """
    if problem := problem_of(url):
        raise Invalid(f"callback_url: {problem}", errors=[{"path": ["callback_url"], "message": problem}])


def problem_of(url: str) -> str:
    """Why nothing may be sent to `url`; empty where it may."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"this is no address: {error}."
    if not url.isascii() or not url.isprintable() or " " in url or not host:
        return "write an address such as https://example.com/hook, in ASCII."
    if parts.username is not None or parts.password is not None:
        return "leave out name and password: who receives it checks the signature."
    if parts.scheme == "http" and host not in settings.CALLBACK_HTTP_HOSTS:
        return f"use https; http is allowed to hosts that an admin names, and {host} is none of them."
    if parts.scheme not in ("http", "https"):
        return f"use https, not {parts.scheme or 'an address without a scheme'}."
    if parts.scheme == "https" and _is_private(host):
        return f"{host} is no public address."
    return ""


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
