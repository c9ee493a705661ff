"""Unit tests have no database: no admin has set a price."""

import math

import pytest

from agents.providers import pricing


@pytest.fixture(autouse=True)
def no_own_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the prices had just been read, and there were none."""
    prices = pricing._OwnPrices()
    prices.read_at = math.inf
    monkeypatch.setattr(pricing, "_own", prices)
