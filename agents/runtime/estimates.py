"""How many tokens a prompt will have, before anybody has counted them.

No tokeniser is at hand for most models, and none may be fetched. What is certain of all of them: common words of
Latin letters take about four characters a token; digits, punctuation, code and random letters far fewer; other scripts
one token a character or more, and never more tokens than UTF-8 bytes. Each kind of character is counted at a rate that
the tokenisers in use seldom exceed, so that the estimate is high rather than low; what the provider reports for one
call of a run corrects the estimates of its later calls (`window.correction`).
"""

import json
import re
from collections.abc import Iterable
from functools import lru_cache

from agents.providers.base import Message, ToolSchema

# Tokens of one character.
LETTER = 0.3
SIGN = 0.6  # digits, punctuation, control characters
SCRAMBLED = 0.75  # letters in runs too long for words: keys, hashes, base64
ACCENTED = 0.8  # Latin beyond ASCII, Greek, Cyrillic, Hebrew, Arabic
IDEOGRAPH = 1.4  # and kana, and Hangul
RARE = 2.0  # other scripts, and symbols
BEYOND = 3.0  # outside the basic plane: emoji, old scripts

LONG = 28  # letters of a run that is no word
REMEMBERED_CHARS = 4000
MESSAGE = 8  # tokens that a message has beside its words
CALL = 16  # and a tool call, or the schema of a tool

_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz \n"
_LONG = re.compile(rf"[A-Za-z0-9+/=_-]{{{LONG},}}")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_sizes: dict[int, tuple[ToolSchema, int]] = {}


def estimate(text: str) -> int:
    """About how many tokens `text` has, rather too many than too few."""
    return _remembered(text) if len(text) <= REMEMBERED_CHARS else _estimate(text)


@lru_cache(maxsize=4096)
def _remembered(text: str) -> int:
    """Each turn of a run is shown the words of those before it: they are counted once."""
    return _estimate(text)


def _estimate(text: str) -> int:
    tokens = 0.0
    if not text.isascii():
        tokens += sum(_foreign(char) for run in _FOREIGN.findall(text) for char in run)
    plain = text.encode("ascii", "ignore")
    signs = len(plain.translate(None, _LETTERS))
    tokens += LETTER * (len(plain) - signs) + SIGN * signs
    long = [
        word for word in text.split() if len(word) >= LONG
    ]  # a regular expression over all would take ten times as long
    scrambled = sum(len(run) for word in long for run in _LONG.findall(word))
    return round(tokens + (SCRAMBLED - LETTER) * scrambled) + (1 if text else 0)


def estimate_message(message: Message) -> int:
    """Of one message with its calls."""
    if not message.tool_calls:
        return MESSAGE + estimate(message.text)
    calls = sum(
        CALL + estimate(call.name + (call.raw if call.arguments is None else json.dumps(call.arguments)))
        for call in message.tool_calls
    )
    return MESSAGE + estimate(message.text) + calls


def estimate_tools(tools: Iterable[ToolSchema]) -> int:
    """Of what the model is told of its tools."""
    return sum(_size(tool) for tool in tools)


def _size(tool: ToolSchema) -> int:
    """The parameters of a tool are the same object for as long as it is loaded: counted once."""
    known = _sizes.get(id(tool.parameters))
    if (
        known is not None
        and known[0].parameters is tool.parameters
        and known[0].description == tool.description
    ):
        return known[1]
    if len(_sizes) > 10_000:
        _sizes.clear()
    size = CALL + estimate(tool.name + tool.description + json.dumps(tool.parameters))
    _sizes[id(tool.parameters)] = (tool, size)  # held, so that the id stays its own
    return size


def _foreign(char: str) -> float:
    code = ord(char)
    if code < 0x0700:
        return ACCENTED
    if code > 0xFFFF:
        return BEYOND
    if 0x3000 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7FF or 0xF900 <= code <= 0xFAFF or code >= 0xFF00:
        return IDEOGRAPH
    return RARE
