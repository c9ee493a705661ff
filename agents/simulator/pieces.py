"""Text in the small pieces in which models stream it."""

import re

_WORDS = re.compile(r"\S+\s*|\s+")


def pieces(text: str) -> list[str]:
    """`text` word by word; joined, they are the text."""
    return _WORDS.findall(text)
