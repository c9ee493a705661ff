"""What is expected of a run, against what it came to."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.evals.assertions import Facts, Made, findings, fits
from agents.evals.config import Expect

pytestmark = pytest.mark.req("EVL-1")

PAID = Made("pay", {"account": "acme", "amount": 20.0}, asks=True)
LOOKED = Made("get_balance", {"account": "acme"})
TRIED = Made("pay", {"account": "acme", "amount": 500}, refused=True, asks=True)


def told(expect: dict[str, Any], *calls: Made, **facts: Any) -> list[str]:
    given = Facts(**{"status": "completed", "output": "Paid EUR 20.00.", "turns": 3, "calls": calls, **facts})
    return findings(Expect.model_validate(expect), given)


@pytest.mark.parametrize(
    "expect",
    [
        {"status": "completed"},
        {"calls": [{"tool": "pay"}]},
        {"calls": [{"tool": "pay", "arguments": {"amount": 20}, "count": 1}]},
        {"calls": [{"tool": "pay", "count": {"max": 1}}]},
        {"calls": [{"tool": "send", "count": 0}]},
        {"no_calls": ["send"]},
        {"asks": ["pay"]},
        {"contains": ["eur 20.00"], "not_contains": ["sorry"]},
        {"max_turns": 3, "max_cost_usd": 0},
    ],
)
def test_what_is_as_expected_has_no_finding(expect: dict[str, Any]) -> None:
    assert told(expect, LOOKED, TRIED, PAID) == []


@pytest.mark.parametrize(
    ("expect", "finding"),
    [
        ({"status": "escalated"}, "The run is completed, not escalated: It is done."),
        ({"calls": [{"tool": "send"}]}, "send was not called; expected: at least 1."),
        (
            {"calls": [{"tool": "pay", "arguments": {"amount": 500}}]},
            (
                "pay was not called with {amount: 500}; expected: at least 1; it was called with "
                "{account: acme, amount: 20.0}; once it was proposed and refused."
            ),
        ),
        (
            {"calls": [{"tool": "pay", "count": 0}]},
            "pay was called once; expected: none; once it was proposed and refused.",
        ),
        (
            {"no_calls": ["pay", "pay"]},
            "pay was called once, with {account: acme, amount: 20.0}; it should not be.",
        ),
        ({"asks": []}, "People would be asked about pay, which is not expected."),
        ({"asks": ["pay", "send"]}, "Nobody would be asked about send: it was not called."),
        (
            {"asks": ["pay", "get_balance"]},
            "Nobody would be asked about get_balance: the policy lets it pass.",
        ),
        ({"contains": ["sorry"]}, "The answer does not say 'sorry'; it says: Paid EUR 20.00."),
        ({"not_contains": ["PAID"]}, "The answer says 'PAID', which it should not: Paid EUR 20.00."),
        ({"max_cost_usd": 0.01}, "It cost USD 0.0200, more than USD 0.01."),
        ({"max_turns": 2}, "It took 3 turns, more than 2."),
    ],
)
def test_what_is_otherwise_is_said_in_a_sentence(expect: dict[str, Any], finding: str) -> None:
    found = told(expect, LOOKED, TRIED, PAID, reason="It is done.", cost_usd=Decimal("0.02"))
    assert found == [finding]


def test_a_call_that_was_refused_is_none() -> None:
    assert told({"no_calls": ["pay"], "asks": []}, TRIED) == []
    assert told({"calls": [{"tool": "pay"}]}, TRIED) == [
        "pay was not called; expected: at least 1; once it was proposed and refused."
    ]


def test_everything_that_is_otherwise_is_told() -> None:
    assert len(told({"status": "failed", "contains": ["a b"], "max_turns": 1}, output="")) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_every_value_fits_itself(value: Any) -> None:
    assert fits(value, value)


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_more_than_was_expected_may_be_given(expected: dict[str, Any], more: dict[str, Any]) -> None:
    assert fits(expected, {**more, **expected})
    assert fits({"inner": expected}, {"inner": {**more, **expected}})


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        ({"a": 1}, {}),
        ({"a": None}, {}),
        ([1], [1, 2]),
        ({}, []),
        ("", None),
        ([], {}),
    ],
)
def test_what_only_looks_alike_does_not_fit(expected: Any, given: Any) -> None:
    assert not fits(expected, given)
