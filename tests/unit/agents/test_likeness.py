"""How like two actions are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.likeness import differences, is_alike, words_of

pytestmark = pytest.mark.req("APR-2")

VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([None, True, 0, -3, 2**60, 0.5, "", "acme", "\u202e", [1, "two"], {"sk": ["deep"]}]),
    st.floats(allow_nan=False),
    st.integers(),
)
ARGUMENTS = st.dictionaries(st.sampled_from(["amount", "order_id", "note", "parts"]), VALUES)


@given(ARGUMENTS, ARGUMENTS)
def test_likeness_goes_both_ways_and_holds_of_oneself(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert is_alike(one, one)
    assert is_alike(one, other) == is_alike(other, one)
    assert differences(one, one) == []
    assert isinstance(words_of(one), str)


@given(st.floats(min_value=0.01, max_value=1e9), st.floats(min_value=2.01, max_value=1e6))
def test_an_amount_beyond_half_to_double_is_not_alike(amount: float, times: float) -> None:
    assert not is_alike({"amount": amount}, {"amount": amount * times})
    assert not is_alike({"amount": amount}, {"amount": -amount})
    assert is_alike({"amount": amount}, {"amount": amount * 1.9})
    assert is_alike({"amount": amount, "order_id": 7}, {"amount": amount, "order_id": 70_000})


def test_secrets_are_neither_embedded_nor_told() -> None:
    secret = {"api_key": "anything", "note": "Bearer sk-proj-abcdefghijklmnop0123"}
    assert "anything" not in words_of(secret)
    assert "sk-proj" not in words_of(secret)
    assert "sk-proj" not in str(differences(secret, {}))
