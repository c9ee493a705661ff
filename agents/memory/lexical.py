"""Vectors of texts without any model: texts that share words, or parts of words, are near each other."""

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

NAME = "lexical-1"  # another number where the same text gets another vector
DIMENSIONS = 512
MAX_CHARS = 20_000  # of a text; what comes after changes nothing
PART_WEIGHT = 0.35  # of a part of a word against a whole word

_WORD = re.compile(r"\w+")
# Scripts that write no spaces between words: each pair of characters stands for a word.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def vector(text: str) -> list[float] | None:
    """`DIMENSIONS` numbers of length 1, always the same for the same text, in any language; None without words."""
    values = [0.0] * DIMENSIONS
    for feature, weight in _weights(text).items():
        place = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "big")
        values[(place >> 1) % DIMENSIONS] += weight if place & 1 else -weight
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values] if length else None


def _weights(text: str) -> dict[str, float]:
    """How much each feature counts: twice as often is not twice as much."""
    plain = unicodedata.normalize("NFKC", text[:MAX_CHARS]).casefold().encode("utf-8", "replace").decode()
    words: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for word in _WORD.findall(plain):
        if _UNSPACED.search(word):
            words.update(word)
            words.update(word[start : start + 2] for start in range(len(word) - 1))
        else:
            words[word] += 1
            parts.update(_parts(word))
    weights = {f"w:{word}": 1 + math.log(times) for word, times in words.items()}
    return weights | {f"p:{part}": PART_WEIGHT * (1 + math.log(times)) for part, times in parts.items()}


def _parts(word: str) -> Iterator[str]:
    """Its runs of four characters, with marks for begin and end, so that forms of a word are near each other."""
    marked = f"<{word[:64]}>"
    return (marked[start : start + 4] for start in range(max(len(marked) - 3, 0)))
