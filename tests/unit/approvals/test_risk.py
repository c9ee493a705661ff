"""How much depends on a decision, and why."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.risk import LEVELS, Past, amounts, assess, unusual_amounts

pytestmark = pytest.mark.req("APR-2")

USED = Past(by_asker=[{"amount": 20 + place, "order_id": 7} for place in range(6)])
NEW = Past()


@pytest.mark.parametrize(
    ("given", "level", "reason"),
    [
        ({"effect": "read", "past": USED}, "low", "it only reads"),
        ({"effect": "read", "tainted": True}, "medium", "outsiders wrote"),
        ({"effect": "read", "egress": True}, "medium", "reaches others"),
        ({"effect": "read", "past": NEW}, "medium", "by who asks is known to have run before"),
        ({"effect": "reversible"}, "medium", "can be undone"),
        ({"effect": "reversible", "past": NEW}, "medium", "by who asks"),
        (
            {"effect": "reversible", "arguments": {"amount": 99}, "past": USED},
            "high",
            "amount 99 is far above",
        ),
        ({"effect": "reversible", "arguments": {"amount": 60}, "past": USED}, "medium", "can be undone"),
        ({"effect": "reversible", "arguments": {"order_id": 9**9}, "past": USED}, "medium", "can be undone"),
        ({"effect": "irreversible"}, "high", "can't be undone"),
        ({"effect": "odd"}, "high", "isn't known"),
        (
            {"effect": "read", "past": Past(by_asker=[{}], for_subject=False)},
            "low",
            "no call before was for the same subject",
        ),
    ],
)
def test_risk_and_its_reasons(given: dict[str, Any], level: str, reason: str) -> None:
    risk = assess(**given)
    assert risk.level == level
    assert reason in "; ".join(risk.reasons)


NUMBERS = st.dictionaries(
    st.sampled_from(["amount", "total", "order_id", "note"]),
    st.one_of(st.floats(), st.integers(), st.booleans(), st.sampled_from(["", "1e9", None])),
)


@given(
    st.sampled_from(["read", "reversible", "irreversible"]),
    st.booleans(),
    st.booleans(),
    NUMBERS,
    st.lists(NUMBERS, max_size=8),
    st.booleans(),
)
def test_what_is_known_of_the_past_never_makes_it_less_than_what_is_declared(
    effect: str,
    egress: bool,
    tainted: bool,
    arguments: dict[str, Any],
    past: list[dict[str, Any]],
    same: bool,
) -> None:
    declared = assess(effect=effect, egress=egress, tainted=tainted)
    known = Past(by_asker=past, for_subject=same)
    risk = assess(effect=effect, egress=egress, tainted=tainted, arguments=arguments, past=known)
    assert LEVELS.index(risk.level) >= LEVELS.index(declared.level)
    assert risk.reasons
    assert (effect == "irreversible") <= (risk.level == "high")


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=5, max_size=9))
def test_no_amount_that_ran_before_is_unusual(past: list[float]) -> None:
    known = [{"amount": each} for each in past]
    assert unusual_amounts({"amount": max(past)}, known) == []
    assert unusual_amounts({"amount": 3 * max(past) + 1}, known)
    assert unusual_amounts({"amount": 3 * max(past) + 1}, known[:4]) == []


def test_numbers_that_say_which_are_no_amounts() -> None:
    names = ("order_id", "id", "orderId", "invoice-number", "zip", "page")
    assert amounts(dict.fromkeys(names, 9)) == {}
    assert amounts({"amount": 9, "paid": 2.5, "rapid": 1, "flag": True}) == {
        "amount": 9,
        "paid": 2.5,
        "rapid": 1,
    }
