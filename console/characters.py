"""Characters that can't be seen, and texts that use them to look like other texts."""

import re
import unicodedata
from itertools import groupby

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

# A wall of blanks pushes the real value out of sight; so many in a row are named instead of shown.
_WALL = re.compile(r"[^\S\n]{16,}|\n(?:[^\S\n]*\n){3,}")
# Characters that are drawn as nothing although they count as letters or symbols.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
# They choose how the character before them is drawn, and can carry any text unseen.
_SELECTORS = (("\u180b", "\u180f"), ("\ufe00", "\ufe0f"), ("\U000e0100", "\U000e01ef"))
# More combining marks on one letter than any script needs are drawn over what stands around it.
MARKS_MAX = 3


def has_hidden(text: str) -> bool:
    """Whether `text` holds anything that `reveal` would mark."""
    text = text.replace("\r\n", "\n")
    return any(_hidden_in(text)) or bool(_WALL.search(text))


def reveal(text: str) -> SafeString:
    """`text` escaped as HTML, with what can't be seen, piles of marks and walls of blanks given by name."""
    text = text.replace("\r\n", "\n")
    parts = []
    position = 0
    for wall in _WALL.finditer(text):
        parts.append(_reveal_each(text[position : wall.start()]))
        parts.append(_mark(f"{len(wall[0])} blanks", "A run of blank characters, cut short here."))
        position = wall.end()
    parts.append(_reveal_each(text[position:]))
    return mark_safe("".join(parts))  # noqa: S308 (every part is escaped)


def reveal_text(text: str) -> str:
    """The same where only text can stand, such as the title of a page: what can't be seen is given by its number."""
    return "".join(
        f"[U+{ord(char):04X}]" if is_hidden else char
        for char, is_hidden in zip(text, _hidden_in(text), strict=True)
    )


def _hidden_in(text: str) -> list[bool]:
    """For each character whether it is named instead of drawn."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return [False] * len(text)
    hidden = [_is_hidden(char) for char in text]
    if text.isascii():
        return hidden
    start = 0
    for is_pile, chars in groupby(text, key=lambda char: unicodedata.category(char).startswith("M")):
        length = len(list(chars))
        if is_pile and length > MARKS_MAX:
            hidden[start : start + length] = [True] * length
        start += length
    return hidden


def _is_hidden(char: str) -> bool:
    if char in "\n\t":
        return False
    return (
        unicodedata.category(char) in _CATEGORIES
        or char in _BLANK
        or any(first <= char <= last for first, last in _SELECTORS)
    )


def _reveal_each(text: str) -> str:
    hidden = _hidden_in(text)
    if not any(hidden):
        return escape(text)
    return "".join(
        _mark(f"U+{ord(char):04X}", unicodedata.name(char, "control character").capitalize())
        if is_hidden
        else escape(char)
        for char, is_hidden in zip(text, hidden, strict=True)
    )


def _mark(words: str, title: str) -> str:
    return format_html('<span class="hidden-char" title="{}">{}</span>', title, words)
