"""JSON text as every parser takes it: halves of surrogate pairs, which programs write that cut a text in two, are no text."""

import re

_HALF = rb"u[dD][89a-fA-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(" + _HALF + rb")|.)", re.DOTALL
)
_RAW_HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # the same as bytes, which UTF-8 has no place for


def mended(data: bytes) -> bytes:
    """`data`, a whole JSON text or whole lines of such, with each half of a pair replaced by U+FFFD."""
    if b"\\u" in data:
        data = _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], data)
    return _RAW_HALF.sub(b"\xef\xbf\xbd", data) if b"\xed" in data else data
