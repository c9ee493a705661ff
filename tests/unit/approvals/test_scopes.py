"""What a grant covers: never more than it says, whatever a model writes."""

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.exceptions import Invalid
from approvals.proposals import tightest
from approvals.scopes import LARGEST, amount_of, check_scope, covers, in_words

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.floats(-100, 100) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["amount", "account", "note"]), JSON)


def equal(value: Any) -> dict[str, Any]:
    return {"is": "equal", "value": value}


@pytest.mark.req("APR-6")
@pytest.mark.parametrize(
    ("limit", "value", "covered"),
    [
        (equal(40), 40.0, True),
        (equal(1), True, False),
        (equal("40"), 40, False),
        (equal({"a": 1, "b": 2}), {"b": 2, "a": 1}, True),
        ({"is": "at_most", "value": 50}, 50, True),
        ({"is": "at_most", "value": 50}, 50.0000001, False),
        ({"is": "at_most", "value": 50}, -1, False),
        ({"is": "at_most", "value": 50}, "5", False),
        ({"is": "at_most", "value": 50}, True, False),
        ({"is": "at_most", "value": 50}, math.nan, False),
        ({"is": "at_most", "value": 50}, None, False),
        ({"is": "one_of", "value": ["a", "b"]}, "b", True),
        ({"is": "one_of", "value": ["a", "b"]}, "B", False),
        ({"is": "one_of", "value": ["a", "b"]}, ["a"], False),
        ({"is": "any"}, {"what": "ever"}, True),
    ],
)
def test_a_limit(limit: dict[str, Any], value: Any, covered: bool) -> None:
    assert covers({"x": limit}, {"x": value}) is covered


@pytest.mark.req("APR-6")
@given(arguments=ARGUMENTS)
def test_a_call_is_covered_by_its_own_scope_and_by_no_other(arguments: dict[str, Any]) -> None:
    scope = {name: equal(value) for name, value in arguments.items()}
    assert covers(scope, arguments)
    assert not covers(scope, arguments | {"approved": True})
    for name in arguments:
        assert not covers(scope, {other: value for other, value in arguments.items() if other != name})
        assert not covers(scope, arguments | {name: ["something else"]})


@pytest.mark.req("APR-6")
@given(limit=st.floats(0, 1e6), value=st.floats() | st.integers() | st.text(max_size=3) | st.booleans())
def test_nothing_beyond_at_most_is_covered(limit: float, value: Any) -> None:
    scope = {"amount": {"is": "at_most", "value": limit}}
    number = isinstance(value, int | float) and not isinstance(value, bool)
    assert covers(scope, {"amount": value}) == (number and 0 <= value <= limit)


@pytest.mark.req("APR-6")
@given(value=st.floats(0, 1e9))
def test_a_budget_is_never_charged_less_than_the_amount(value: float) -> None:
    amount = amount_of("amount", {"amount": value})
    assert amount is not None
    assert amount >= Decimal(str(value))
    assert amount - Decimal(str(value)) <= Decimal("0.000001")


@pytest.mark.req("APR-6")
@pytest.mark.parametrize("value", [-1, "5", None, True, math.inf, math.nan, LARGEST * 10])
def test_an_amount_that_can_not_be_added_up_is_not_covered(value: Any) -> None:
    assert amount_of("amount", {"amount": value}) is None
    assert amount_of("amount", {}) is None


@pytest.mark.req("APR-6")
@pytest.mark.parametrize(
    "limit", [{"is": "like"}, {"is": "at_most", "value": "5"}, {"is": "one_of", "value": []}]
)
def test_a_scope_that_says_nothing_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        check_scope({"x": limit})


@pytest.mark.req("APR-6")
def test_the_tightest_scope_of_what_was_approved() -> None:
    approved = [{"account": "acme", "amount": amount, "note": f"n{amount}"} for amount in range(1, 20)]
    rejected = [{"account": "acme", "amount": 19, "note": "no"}]
    scope = tightest(approved, rejected)
    assert scope == {
        "account": equal("acme"),
        "amount": {"is": "at_most", "value": 18},  # 19 would let the rejected one through
        "note": {"is": "any"},
    }
    assert in_words(scope) == ["account is acme", "amount at most 18", "note is anything"]


@pytest.mark.req("APR-6")
@given(approved=st.lists(ARGUMENTS, min_size=5, max_size=30), rejected=st.lists(ARGUMENTS, max_size=5))
def test_a_proposal_covers_most_of_what_was_approved(
    approved: list[dict[str, Any]], rejected: list[dict[str, Any]]
) -> None:
    scope = tightest(approved, rejected)
    assert scope is not None
    check_scope(scope)
    numbers = sum(limit["is"] == "at_most" for limit in scope.values())
    missed = sum(not covers(scope, arguments) for arguments in approved)
    assert missed <= numbers * max(1, len(approved) * 0.1)
