"""Costs by the shipped price list."""

from decimal import Decimal

import pytest

from agents.providers.base import Usage
from agents.providers.pricing import list_price_usd

pytestmark = pytest.mark.req("MOD-6", "MOD-7")
MILLION = 1_000_000


def test_each_bucket_has_its_own_price() -> None:
    def price(**tokens: int) -> Decimal | None:
        return list_price_usd("anthropic", "claude-haiku-4-5", Usage(**tokens))

    assert price(input=MILLION) == Decimal(1)
    assert price(cache_read=MILLION) == Decimal("0.1")
    assert price(cache_write=MILLION) == Decimal("1.25")
    assert price(output=MILLION) == Decimal(5)
    everything = price(input=MILLION, cache_read=MILLION, cache_write=MILLION, output=MILLION)
    assert everything == Decimal("7.35")


def test_openai_reads_from_the_cache_at_less() -> None:
    assert list_price_usd("openai", "gpt-4o", Usage(input=MILLION)) == Decimal("2.5")
    assert list_price_usd("openai", "gpt-4o", Usage(cache_read=MILLION)) == Decimal("1.25")


def test_a_simulated_call_costs_what_the_model_would_have() -> None:
    usage = Usage(input=1000, output=50)
    assert list_price_usd("simulated", "gpt-4o", usage) == list_price_usd("openai", "gpt-4o", usage)


@pytest.mark.parametrize("provider", ["anthropic", "openai", "simulated", "scripted", "nobody"])
def test_an_unknown_model_has_no_price(provider: str) -> None:
    assert list_price_usd(provider, "a-model-of-our-own", Usage(input=10)) is None


def test_nothing_used_costs_nothing() -> None:
    assert list_price_usd("openai", "gpt-4o", Usage()) == 0
