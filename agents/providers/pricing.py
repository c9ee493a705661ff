"""What a call cost, by the price list that genai-prices ships; nothing is fetched."""

from decimal import Decimal

import genai_prices

from agents.providers.base import Usage

PRICED_PROVIDERS = {"anthropic", "openai"}


def cost_usd(provider: str, model: str, usage: Usage) -> Decimal | None:
    """US dollars for `usage`, with cache reads and writes at their own prices; None where no price is known.

    A simulated call costs what the model that it stands in for would have cost.
    """
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
