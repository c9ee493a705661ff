"""In which order the endpoints of a role are asked."""

from decimal import Decimal

from agents.config import Endpoint, ModelRef
from agents.providers.base import Usage
from agents.providers.pricing import cost_usd

SHORT = 0.8  # of its cost limit; a run that spent so much is short of money
SAMPLE = Usage(input=3_000, output=1_000)  # a usual mixture, to compare prices by


def in_order(model: ModelRef, *, spent: float, limit: float) -> list[tuple[int, Endpoint]]:
    """The endpoints with their places (0: the role's own model), as configured; the cheapest first once money is short.

    An endpoint whose price nobody knows is never preferred for it.
    """
    endpoints: list[tuple[int, Endpoint]] = list(enumerate((model, *model.fallback)))
    if len(endpoints) == 1 or spent < SHORT * limit:
        return endpoints
    return sorted(endpoints, key=lambda placed: _price(placed[1]))


def _price(endpoint: Endpoint) -> Decimal:
    price = cost_usd(endpoint.provider, endpoint.model, SAMPLE)
    return Decimal("Infinity") if price is None else price
