"""What both ways to a server have in common: how large a message may be, and errors that we make ourselves."""

import re
from collections.abc import Iterator

from mcp.types import ErrorData, JSONRPCError

MESSAGE_MAX = 8 * 1024 * 1024  # bytes; 5 MB in base64, and words

# Codes of errors that no server sent: we answer with them in its place, so that one lost message ends one call.
NOT_SENT = -33001  # the request did not leave, or was turned away unread
LOST = -33002  # it left, and no reply came
GONE = -33003  # the server no longer knows this session, so it did nothing
TOO_LARGE = -33004  # the reply is larger than MESSAGE_MAX

_ID_FIRST = re.compile(rb'\A\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(\d{1,15})\s*,')
_ID_LAST = re.compile(rb'"id"\s*:\s*(\d{1,15})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*\Z')
_EDGE = 200  # bytes that are kept of each end of a message that is too large


class TooLong:
    """A line that was longer than it may be: its two ends."""

    def __init__(self, head: bytes, tail: bytes, size: int) -> None:
        self.head, self.tail, self.size = head, tail, size

    def answer(self) -> JSONRPCError | None:
        """The error in place of the reply that this line was; None where it can't be told whose reply."""
        found = _ID_FIRST.search(self.head) or _ID_LAST.search(self.tail)
        return JSONRPCError(jsonrpc="2.0", id=int(found[1]), error=too_large(self.size)) if found else None


class Lines:
    """Splits a stream of bytes into lines, and never holds more than `limit` bytes of one."""

    def __init__(self, limit: int = MESSAGE_MAX) -> None:
        self.limit = limit
        self._parts: list[bytes] = []
        self._size, self._head, self._tail = 0, b"", b""

    def feed(self, chunk: bytes) -> Iterator[bytes | TooLong]:
        """The lines that `chunk` completes."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._add(chunk[start:end])
            yield self._take()
            start = end + 1
        self._add(chunk[start:])

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self.limit:
            self._parts.append(piece)
            return
        if self._parts or not self._head:
            held = b"".join([*self._parts, piece])
            self._head, self._tail = held[:_EDGE], held[-_EDGE:]
            self._parts.clear()
        else:
            self._tail = (self._tail + piece)[-_EDGE:]

    def _take(self) -> bytes | TooLong:
        whole = self._size <= self.limit
        line = b"".join(self._parts) if whole else TooLong(self._head, self._tail, self._size)
        self._parts, self._size, self._head, self._tail = [], 0, b"", b""
        return line


def too_large(size: int) -> ErrorData:
    """The error in place of a reply of `size` bytes."""
    return ErrorData(
        code=TOO_LARGE,
        message=f"it answered with {size:,} bytes, more than the {MESSAGE_MAX:,} that are read; ask for less",
    )
