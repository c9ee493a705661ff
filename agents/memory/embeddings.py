"""Vectors of texts, from the endpoint that an agent names, or from words alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, runtime_checkable

from agents.config import Endpoint
from agents.memory import lexical
from agents.providers.base import FailureKind, ModelFailure, Usage
from agents.providers.pricing import cost_usd
from agents.providers.routing import UnknownProvider, resolve

SECONDS = 10.0
MAX_CHARS = 20_000  # of one text
MAX_DIMENSIONS = 16_000  # that a column of pgvector takes

Vector = list[float]


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of some texts, in their order; None for one that has no direction."""

    vectors: tuple[Vector | None, ...]
    by: str  # vectors compare only with those of the same
    tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)  # None: no price is known
    simulated: bool = False


@runtime_checkable
class Embedder(Protocol):
    """A provider that has embeddings."""

    simulated: bool

    def embed(self, texts: Sequence[str], *, model: str, seconds: float) -> tuple[list[Vector], Usage]:
        """A vector for each of `texts`, in their order, and what that used. Raises ModelFailure."""
        ...


def embedded_by(endpoint: Endpoint | None) -> str:
    """The name under which vectors of `endpoint` are stored; None is the offline lexical default."""
    if endpoint is None:
        return lexical.NAME
    return f"{endpoint} at {endpoint.base_url}"[:160] if endpoint.base_url else str(endpoint)[:160]


def embed(texts: Sequence[str], *, endpoint: Endpoint | None) -> Embedded:
    """Vectors of `texts`. Raises ModelFailure, never for the lexical default, which needs no network."""
    by = embedded_by(endpoint)
    if endpoint is None:
        return Embedded(tuple(lexical.vector(text) for text in texts), by)
    try:
        provider = resolve(endpoint.provider, base_url=endpoint.base_url)
    except UnknownProvider as error:
        raise ModelFailure(FailureKind.INVALID_REQUEST, str(error)) from error
    if not isinstance(provider, Embedder):
        raise ModelFailure(
            FailureKind.INVALID_REQUEST, f"{endpoint.provider} has no embeddings: name another."
        )
    # An empty text is refused by some endpoints.
    sent = [text[:MAX_CHARS] if text.strip() else "-" for text in texts]
    vectors, usage = provider.embed(sent, model=endpoint.model, seconds=SECONDS)
    return Embedded(
        vectors=tuple(_checked(vector) for vector in vectors),
        by=by,
        tokens=usage.total,
        cost_usd=cost_usd(endpoint.provider, endpoint.model, usage),
        simulated=provider.simulated,
    )


def _checked(vector: Sequence[float]) -> Vector | None:
    if not 1 <= len(vector) <= MAX_DIMENSIONS or not all(math.isfinite(value) for value in vector):
        raise ModelFailure(
            FailureKind.MALFORMED, f"The embeddings endpoint sent {len(vector)} values that are no vector."
        )
    return [float(value) for value in vector] if any(vector) else None
