"""Many hashes as one, so that one event can be proven without the others: the tree of RFC 9162 (Merkle)."""

import hashlib
from collections.abc import Sequence


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The hash that stands for all of `leaves`, of which there is at least one."""
    level = list(leaves)
    while len(level) > 1:
        level = _above(level)
    return level[0]


def paths_of(leaves: Sequence[bytes], places: Sequence[int]) -> list[list[bytes]]:
    """For each place, the hashes with which its leaf makes the root, from below."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        levels.append(_above(levels[-1]))
    return [
        [level[beside] for depth, level in enumerate(levels) if (beside := (place >> depth) ^ 1) < len(level)]
        for place in places
    ]


def root_by(leaf: bytes, *, place: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that `leaf` makes at `place` of `count` with `path`; None where the path has another length."""
    hashed, steps, last = leaf, iter(path), count - 1
    while last > 0:
        if place ^ 1 <= last:
            beside = next(steps, None)
            if beside is None:
                return None
            hashed = _join(beside, hashed) if place & 1 else _join(hashed, beside)
        place, last = place >> 1, last >> 1
    return hashed if next(steps, None) is None else None


def _above(level: list[bytes]) -> list[bytes]:
    """The next level: pairs joined; a hash that has none beside it goes up as it is."""
    joined = [_join(level[place], level[place + 1]) for place in range(0, len(level) - 1, 2)]
    return [*joined, level[-1]] if len(level) % 2 else joined


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
