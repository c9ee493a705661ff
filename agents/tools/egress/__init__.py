"""Egress: which places tools may reach, and HTTP clients that can reach no other."""

from agents.tools.egress.clients import CONNECT_SECONDS, Resolver, async_client, client, resolve, send
from agents.tools.egress.rules import EgressRefused, place_of, require, require_address
from agents.tools.egress.streams import MAX_BYTES, Unread

__all__ = [
    "CONNECT_SECONDS",
    "MAX_BYTES",
    "EgressRefused",
    "Resolver",
    "Unread",
    "async_client",
    "client",
    "place_of",
    "require",
    "require_address",
    "resolve",
    "send",
]
