"""Several rankings made one."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

DAMPING = 60  # of reciprocal rank fusion, as Cormack, Clarke and Buettcher (2009) found it to serve


def fuse(rankings: Sequence[Sequence[K]]) -> dict[K, float]:
    """Scores by reciprocal rank fusion, best first: the sum of 1 / (60 + rank) over the rankings that name an item.

    Ranks begin at 1. Items of equal score stand in the order in which the rankings first name them.
    """
    scores: dict[K, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (DAMPING + rank)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))
