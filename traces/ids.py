"""Identifiers: time-ordered, so that new rows land at the end of their index."""

import os
import secrets
import time
import uuid


def new_id() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix time in ms, the rest random."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def new_span_id() -> str:
    """A span id as OpenTelemetry writes it: 16 hex digits."""
    return secrets.token_hex(8)
