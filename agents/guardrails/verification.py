"""Whether an answer states identifiers or amounts that stand in nothing that was read: a pure check of texts and JSON.

It finds what was made up, and leaves alone what people write without a source: small numbers, percentages, years,
dates, times, measures. An amount counts as read also where it is the sum, the difference or the multiple of a few that
were.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import Any

from agents.guardrails.numbers import CURRENCY, GROUPED, NUMBER, SPACED, readings

MAX_FINDINGS = 10
MAX_SUMMANDS = 24  # amounts that are tried in sums of two and three
LARGEST = 10**15  # beyond, no number is an amount
SMALL = 100  # a count, with which an amount may be multiplied

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+(?:[-_][^\W_]+)*")
_HASH = re.compile(r"#\s?\d{3,}\b")
# What has digits and names nothing: dates, times, versions, list numbers, percentages, sizes, measures.
_PLAIN = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|[+-]\d{2}:?\d{2})?\b"
    r"|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
    r"|\b\d{1,2}:\d{2}(?::\d{2})?\b"
    r"|\bv?\d+(?:\.\d+){2,}\b"
    r"|\b(?:v|version|section|chapter|release|python)\s?\d+(?:\.\d+)*\b"
    r"|^\s*\d+[.)](?=\s)"
    r"|\b(?:mid|pre|post|early|late)-\d{4}s?\b"
    r"|(?<![\w-])\d+\s?x\s?\d+(?:\s?x\s?\d+)?\b"
    r"|(?<![^\W_])[-+]?\d[\d.,]*\s?(?:%|percent\b|per cent\b|‰|°)"
    r"|(?<![\w-])\d[\d.,]*[\s-]?(?:ms|s|sec|seconds?|min|minutes?|h|hrs?|hours?|d|days?|weeks?|months?|years?|kg|g|mg"
    r"|lb|oz|km|m|cm|mm|mi|miles?|l|ml|k|kb|mb|gb|tb|px|p|w|kw|kwh|v|am|pm|x|st|nd|rd|th)\b",
    re.IGNORECASE | re.MULTILINE,
)
_MONEY_KEY = re.compile(
    r"(amount|price|total|cost|balance|fee|paid|cents|minor|refund|sum|value|tax|vat|due|net|gross)",
    re.IGNORECASE,
)
_COUNT_KEY = re.compile(r"(quantity|qty|count|units|number|nights|days)", re.IGNORECASE)
_MINOR_KEY = re.compile(r"(cents|minor)", re.IGNORECASE)
_AMOUNT = re.compile(
    rf"(?P<before>{CURRENCY})\s?(?P<first>{SPACED})|(?<![\w.,])(?P<second>{SPACED})\s?(?P<after>{CURRENCY})"
    rf"|(?<![\w.,])(?P<bare>{NUMBER})(?!\w|[.,]\d)",
    re.IGNORECASE,
)
_EXACT = re.compile(rf"\d+[.,]\d{{2}}|{GROUPED}(?:[.,]\d{{1,2}})?")  # as amounts are written


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the answer states and nothing that was read holds."""

    kind: str  # identifier, amount
    text: str  # as the answer writes it


@dataclass(frozen=True, slots=True)
class Verification:
    """How many statements were looked up, and those that were not found."""

    checked: int
    findings: tuple[Finding, ...]


def verify(answer: str, sources: Iterable[Any]) -> Verification:
    """Look up the identifiers and amounts of `answer` in `sources`: texts, and JSON values such as tool results."""
    identifiers, rest = _identifiers(answer)
    amounts = _amounts(rest)
    if not identifiers and not amounts:
        return Verification(0, ())
    leaves = [leaf for source in sources for leaf in _leaves(source)]
    found = [Finding("identifier", text) for text in _missing_identifiers(identifiers, leaves)]
    found += [Finding("amount", text) for text in _missing_amounts(amounts, leaves)]
    return Verification(len(identifiers) + len(amounts), tuple(found[:MAX_FINDINGS]))


def _identifiers(answer: str) -> tuple[list[str], str]:
    """What names a thing, each once; and the answer without it."""
    found: dict[str, None] = {}

    def take(match: re.Match[str]) -> str:
        found.setdefault(match[0])
        return " "

    rest = _EMAIL.sub(take, answer)
    rest = _UUID.sub(take, rest)
    rest = _PLAIN.sub(" ", rest)
    rest = _HASH.sub(take, rest)
    rest = _TOKEN.sub(lambda match: take(match) if _names(match[0]) else match[0], rest)
    return list(found), rest


def _names(token: str) -> bool:
    """Whether a token with digits is the name of a thing, as O-1042 is and 30-day, B2B or 1042 is not."""
    if token.isalpha():
        return False  # as most are
    digits = sum(character.isdigit() for character in token)
    letters = "".join(character for character in token if character.isalpha())
    if not letters:
        return digits >= (6 if token.isdigit() else 9)
    if digits < 2 or re.fullmatch(CURRENCY, letters):
        return False
    if digits == 2 and (not letters.isupper() or len(letters) > 4):
        return False  # top-10, under-18s, COVID-19
    first, *words = re.split(r"[-_]", token)
    return not (first.isdigit() and words and all(word.isalpha() and word.islower() for word in words))


def _missing_identifiers(identifiers: list[str], leaves: list[tuple[str, Any]]) -> list[str]:
    if not identifiers:
        return []
    text = "\n".join(str(value) for _, value in leaves).casefold()
    return [name for name in identifiers if not _stands_in(name, text)]


def _stands_in(name: str, text: str) -> bool:
    """Whether `text` has it, as a whole; how its parts are joined is a matter of taste."""
    signs = [re.escape(sign) for sign in name.casefold() if sign.isalnum() or sign in "@."]
    return re.search(r"(?<![^\W_])" + r"[\W_]{0,2}".join(signs) + r"(?![^\W_])", text) is not None


def _amounts(text: str) -> dict[str, frozenset[Decimal]]:
    """The amounts in a text as it writes them, each with the values that it may mean."""
    found = {}
    for match in _AMOUNT.finditer(text):
        number = match["first"] or match["second"] or match["bare"]
        if match["bare"] is None or _EXACT.fullmatch(number):
            found[match[0].strip()] = readings(number)
    return found


def _missing_amounts(amounts: dict[str, frozenset[Decimal]], leaves: list[tuple[str, Any]]) -> list[str]:
    if not amounts:
        return []
    known, money, counts = _numbers(leaves)
    missing = {text: values for text, values in amounts.items() if not values & known}
    if missing:
        made = _made_of(money, counts)
        missing = {text: values for text, values in missing.items() if not values & made}
    return list(missing)


def _numbers(
    leaves: list[tuple[str, Any]],
) -> tuple[set[Decimal], list[tuple[str, Decimal]], set[int]]:
    """All numbers that were read, with their roundings; amounts of money with their fields; and small counts."""
    known: set[Decimal] = set()
    money: list[tuple[str, Decimal]] = []
    counts: set[int] = set()
    for key, value in leaves:
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int | float | Decimal):
            size = abs(Decimal(str(value)))
            values, amounts = {size}, []
            if not isinstance(value, int) or _MONEY_KEY.search(key):
                amounts = [size / 100 if _MINOR_KEY.search(key) else size]
            if isinstance(value, int):
                values.add(size / 100)  # it may count the smallest unit of a currency
        else:
            text = str(value)
            written = re.findall(NUMBER, text) + re.findall(SPACED, text)
            values = {one for number in written for one in readings(number)}
            amounts = [max(meant) for meant in _amounts(_PLAIN.sub(" ", text)).values()]
        for one in values:
            if one.is_finite() and one < LARGEST:
                known |= {one, round(one, 2), round(one, 1), Decimal(round(one))}
                if one == int(one) and 1 < one <= SMALL:
                    counts.add(int(one))
        money += [(key, one) for one in amounts if one.is_finite() and one < LARGEST]
    return known, money, counts


def _made_of(money: list[tuple[str, Decimal]], counts: set[int]) -> set[Decimal]:
    """What follows from a few amounts by adding, taking away and multiplying, and from all of one field by adding."""
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for key, one in money:
        totals[key] += one
    distinct = list(dict.fromkeys(one for _, one in money))
    made = {*totals.values(), *(one * count for one in distinct for count in counts)}
    few = distinct[-MAX_SUMMANDS:]
    for one, other in combinations(few, 2):
        made |= {one + other, abs(one - other)}
    made |= {sum(three, Decimal(0)) for three in combinations(few, 3)}
    return {round(one, 2) for one in made}


def _leaves(source: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every text and number in a JSON value, with the name of its field; names are read too."""
    if isinstance(source, dict):
        for name, value in source.items():
            yield "", str(name)
            yield from _leaves(value, str(name))
        yield from _lines(source)
    elif isinstance(source, list | tuple):
        for value in source:
            yield from _leaves(value, key)
    else:
        yield key, source


def _lines(item: dict[Any, Any]) -> Iterator[tuple[str, Decimal]]:
    """The price of an item times how many there are of it."""
    numbers = {str(name): value for name, value in item.items() if type(value) in (int, float)}
    for counted in (value for name, value in numbers.items() if _COUNT_KEY.search(name)):
        for name, value in numbers.items():
            if _MONEY_KEY.search(name) and not _COUNT_KEY.search(name):
                yield f"{name} times its number", Decimal(str(value)) * Decimal(str(counted))
