"""Reciprocal rank fusion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory.fusion import fuse

pytestmark = pytest.mark.req("MEM-2")
rankings = st.lists(st.lists(st.integers(0, 20), unique=True, max_size=10), max_size=4)


def test_what_both_rankings_name_comes_first() -> None:
    scores = fuse([["a", "b", "c"], ["d", "b", "e"]])
    assert next(iter(scores)) == "b"
    assert scores["b"] == pytest.approx(2 / 62)
    assert list(scores) == ["b", "a", "d", "c", "e"]


@given(rankings)
def test_every_item_has_one_score_and_they_fall(given_rankings: list[list[int]]) -> None:
    scores = fuse(given_rankings)
    assert set(scores) == {item for ranking in given_rankings for item in ranking}
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


@given(st.lists(st.integers(), unique=True))
def test_one_ranking_stays_as_it_is(ranking: list[int]) -> None:
    assert list(fuse([ranking, []])) == ranking
