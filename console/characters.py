"""Characters that can't be seen, and texts that use them to look like other texts."""

import re
import unicodedata

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

# A wall of blanks pushes the real value out of sight; so many in a row are named instead of shown.
_WALL = re.compile(r"[^\S\n]{16,}|\n(?:[^\S\n]*\n){3,}")
# Characters that are drawn as nothing although they count as letters or symbols.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
_CATEGORIES = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


def has_hidden(text: str) -> bool:
    """Whether `text` holds anything that `reveal` would mark."""
    text = text.replace("\r\n", "\n")
    return any(map(_is_hidden, text)) or bool(_WALL.search(text))


def reveal(text: str) -> SafeString:
    """`text` escaped as HTML, with control and bidirectional characters and walls of blanks marked by name."""
    text = text.replace("\r\n", "\n")
    parts = []
    position = 0
    for wall in _WALL.finditer(text):
        parts.append(_reveal_each(text[position : wall.start()]))
        parts.append(_mark(f"{len(wall[0])} blanks", "A run of blank characters, cut short here."))
        position = wall.end()
    parts.append(_reveal_each(text[position:]))
    return mark_safe("".join(parts))  # noqa: S308 (every part is escaped)


def _is_hidden(char: str) -> bool:
    if char in "\n\t":
        return False
    return unicodedata.category(char) in _CATEGORIES or char in _BLANK or "\U000e0100" <= char <= "\U000e01ef"


def _reveal_each(text: str) -> str:
    if not any(map(_is_hidden, text)):
        return escape(text)
    return "".join(
        _mark(f"U+{ord(char):04X}", unicodedata.name(char, "control character").capitalize())
        if _is_hidden(char)
        else escape(char)
        for char in text
    )


def _mark(words: str, title: str) -> str:
    return format_html('<span class="hidden-char" title="{}">{}</span>', title, words)
