"""What a call cost: by the prices that an admin set, else by the list that genai-prices ships. Nothing is fetched."""

import threading
import time
from decimal import Decimal

import genai_prices
import structlog
from django.db import Error

from agents.models import Price
from agents.providers.base import Usage

log = structlog.get_logger(__name__)

PRICED_PROVIDERS = {"anthropic", "openai"}
MILLION = 1_000_000
KEEP_SECONDS = 10.0  # how long a process believes the prices that it read


def cost_usd(provider: str, model: str, usage: Usage) -> Decimal | None:
    """US dollars for `usage`, each bucket at its own price; None where no price is known.

    A price that an admin sets holds for calls from KEEP_SECONDS later on, and stands above the list. Not inside a
    journal entry: it may ask the database. A simulated call costs what the model that it stands in for would have.
    """
    own = _own.get(provider, model)
    return list_price_usd(provider, model, usage) if own is None else _by(own, usage)


def list_price_usd(provider: str, model: str, usage: Usage) -> Decimal | None:
    """The same by the price list alone."""
    counted = genai_prices.Usage(
        input_tokens=usage.input + usage.cache_read + usage.cache_write,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
    )
    try:
        return genai_prices.calc_price(
            counted, model, provider_id=provider if provider in PRICED_PROVIDERS else None
        ).total_price
    except LookupError:
        return None


def forget_prices() -> None:
    """Read the admin's prices anew at the next call in this process."""
    _own.read_at = None


class _OwnPrices:
    """The admin's prices as this process last read them."""

    def __init__(self) -> None:
        self.read_at: float | None = None  # on the monotonic clock
        self._prices: dict[tuple[str, str], Price] = {}
        self._lock = threading.Lock()

    def get(self, provider: str, model: str) -> Price | None:
        with self._lock:
            due = self.read_at is None or time.monotonic() - self.read_at >= KEEP_SECONDS
            if due:
                self.read_at = time.monotonic()
        if due:  # one thread reads; not under the lock, since it may have to wait for a connection
            try:
                self._prices = {(price.provider, price.model): price for price in Price.objects.all()}
            except Error as error:
                log.warning("prices.unread", error=str(error))  # what was known holds on
        return self._prices.get((provider, model))


_own = _OwnPrices()


def _by(price: Price, usage: Usage) -> Decimal:
    total = (
        price.input * usage.input
        + price.cache_read * usage.cache_read
        + price.cache_write * usage.cache_write
        + price.output * usage.output
    )
    return total / MILLION
