"""Numbers as people write them, in several notations."""

import re
from decimal import Decimal

CURRENCY = (
    r"(?:[$€£¥₹₽₺₩]|(?<![A-Za-z])(?:EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|TRY|BRL|MXN|ZAR"
    r"|euros?|dollars?|pounds?|cents?)(?![A-Za-z]))"
)
_APART = r".,'\u2019\u00a0\u202f"  # what sets thousands apart, beside a blank
NUMBER = rf"(?:\d{{1,3}}(?:[{_APART}]\d{{3}})+(?:[.,]\d{{1,2}})?(?!\d)|\d+(?:[.,]\d+)?)"
SPACED = rf"(?:\d{{1,3}}(?:[ {_APART}]\d{{3}})+(?:[.,]\d{{1,2}})?(?!\d)|\d+(?:[.,]\d+)?)"  # beside a currency
GROUPED = rf"\d{{1,3}}(?:[{_APART}]\d{{3}})+"


def readings(number: str) -> frozenset[Decimal]:
    """The values that a written number may mean: 1.240 is 1240 to one reader and 1.24 to another."""
    match = re.fullmatch(r"(.*)([.,])(\d+)", number)
    if match is None or match[2] in match[1]:  # a mark that comes twice sets thousands apart
        return frozenset({_whole(number)})
    fraction = Decimal(f"{_whole(match[1])}.{match[3]}")
    if re.fullmatch(GROUPED, number):
        return frozenset({fraction, _whole(number)})
    return frozenset({fraction})


def _whole(text: str) -> Decimal:
    return Decimal(re.sub(r"\D", "", text))
