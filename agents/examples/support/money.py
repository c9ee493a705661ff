"""Amounts of money: how many decimals a currency has, and how an amount is written."""

from decimal import Decimal

DECIMALS = {"EUR": 2, "USD": 2, "GBP": 2, "SEK": 2, "PLN": 2, "CHF": 2, "JPY": 0}
"""The currencies of the shop, with the digits after the point."""


def written(amount: Decimal, currency: str) -> str:
    """`amount` with exactly the decimals of `currency`, as in "129.00" or "3200"."""
    return f"{amount:.{DECIMALS[currency]}f}"


def as_json(amount: Decimal, currency: str) -> dict[str, str]:
    """An amount as tools give it: text, since a JSON number would be read as a binary fraction."""
    return {"amount": written(amount, currency), "currency": currency}


def in_words(amount: Decimal, currency: str) -> str:
    """An amount as people read it, as in "EUR 129.00"."""
    return f"{currency} {written(amount, currency)}"


def has_fitting_decimals(amount: Decimal, currency: str) -> bool:
    """Whether `amount` can be paid in `currency`: there is no half yen and no tenth of a cent."""
    return amount == round(amount, DECIMALS[currency])
