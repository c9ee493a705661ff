"""Masking: what a rule keeps from people's eyes, by its place in the arguments and wherever else it is repeated. Pure."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

MASKED = "[masked]"
CUT = "…"  # at the end of a text that goes on
SHORTEST_BEGINNING = 3  # characters of a value that a cut text shows
SHORTEST_LOOSE = 6  # letters and digits from which on a value is found however it is spaced
_GAP = r"[\s.\-/]*"
# First with gaps between thousands, then without: `40 500` is one number, or two.
_NUMBERS = (
    re.compile(r"(?<![\d.,])\d{1,3}(?:[ \u00a0'\u2019]\d{3})+(?:[.,]\d+)?(?![\d])"),
    re.compile(r"(?<![\d])\d+(?:[.,]\d+)*(?![\d])"),
)


class Masked(str):
    """What stands for a masked value in a title, whatever format the title asks for."""

    def __format__(self, spec: str) -> str:
        return MASKED


def values_at(arguments: Any, path: str) -> list[Any]:
    """All values at `path`, such as `iban` or `payee.address`; a list on the way stands for each of its items."""
    name, _, rest = path.partition(".")
    if isinstance(arguments, list):
        return [value for item in arguments for value in values_at(item, path)]
    if not isinstance(arguments, dict) or name not in arguments:
        return []
    return values_at(arguments[name], rest) if rest else [arguments[name]]


def without(arguments: Any, paths: Iterable[str], instead: str = MASKED) -> Any:
    """A copy in which `instead` stands at each of the paths that is there."""
    masked = arguments
    for path in paths:
        masked = _without(masked, path, instead)
    return masked


def _without(arguments: Any, path: str, instead: str) -> Any:
    name, _, rest = path.partition(".")
    if isinstance(arguments, list):
        return [_without(item, path, instead) for item in arguments]
    if not isinstance(arguments, dict) or name not in arguments:
        return arguments
    return arguments | {name: _without(arguments[name], rest, instead) if rest else instead}


class Scrubber:
    """Takes values out of whatever repeats them: texts, and documents of any depth."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = list(values)
        texts: set[str] = set()
        self._numbers: set[float] = set()
        for leaf in _leaves(self.values):
            number = _number(leaf)
            if number is not None:
                self._numbers.add(number)
            if isinstance(leaf, str) and leaf.strip():
                texts |= _spellings(leaf.strip())
        longest_first = sorted(texts, key=len, reverse=True)
        self._texts = re.compile("|".join(map(_pattern, longest_first)), re.IGNORECASE) if texts else None
        self._begun = tuple({str(leaf).strip().lower() for leaf in _leaves(self.values)})

    def text(self, text: str) -> str:
        """The text with `MASKED` for each of the values."""
        if self._texts is not None:
            text = self._texts.sub(MASKED, text)
        if self._numbers:
            for number in _NUMBERS:
                text = number.sub(lambda found: MASKED if self._knows(found[0]) else found[0], text)
        return self._without_beginnings(text) if CUT in text else text

    def value(self, value: Any) -> Any:
        """A document likewise; keys, too."""
        match value:
            case str():
                return value if isinstance(value, Masked) else self.text(value)
            case bool() | None:
                return value
            case int() | float():
                return MASKED if abs(float(value)) in self._numbers else value
            case dict():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
        return value

    def _without_beginnings(self, text: str) -> str:
        """A text that was cut may end within a value: the beginning of one goes, too."""
        *pieces, last = text.split(CUT)
        for place, piece in enumerate(pieces):
            folded = piece.lower()
            shown = max((_overlap(folded, value) for value in self._begun), default=0)
            if shown >= SHORTEST_BEGINNING:
                pieces[place] = piece[:-shown] + MASKED
        return CUT.join([*pieces, last])

    def _knows(self, written: str) -> bool:
        """Whether a number, with either mark for its decimals, is one of the values."""
        bare = re.sub(r"['\u2019\u00a0 ]", "", written)
        readings = {bare.replace(",", ""), bare.replace(".", "").replace(",", "."), bare.replace(",", ".")}
        return any(_number(reading) in self._numbers for reading in readings if _number(reading) is not None)


def _leaves(value: Any) -> list[Any]:
    match value:
        case dict():
            return [leaf for item in value.values() for leaf in _leaves(item)]
        case list() | tuple():
            return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _spellings(text: str) -> set[str]:
    """As it stands in a text, in JSON, and between YAML's single quotes."""
    return {text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1], text.replace("'", "''")}


def _overlap(text: str, value: str) -> int:
    """How many characters of the value's beginning the text ends with."""
    return next((size for size in range(min(len(text), len(value)), 0, -1) if text.endswith(value[:size])), 0)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return abs(float(value))
    except (ValueError, OverflowError):
        return None


def _pattern(text: str) -> str:
    """Finds the text as a word of its own; a longer one also with other gaps, as people space an account number."""
    signs: Sequence[str] = [sign for sign in text if sign.isalnum()]
    if len(signs) >= SHORTEST_LOOSE:
        return _GAP.join(
            re.escape(sign) if sign.isalnum() else re.escape(sign) + "?"
            for sign in text
            if sign.isalnum() or not re.match(_GAP[:-1], sign)
        )
    return rf"(?<!\w){re.escape(text)}(?!\w)"
