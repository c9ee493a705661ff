"""Two actions have one digest if, and only if, they are the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.digest import action_digest, digest_of
from approvals.exceptions import Invalid

NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


def digest(**changes: Any) -> str:
    action: dict[str, Any] = {
        "tool": "pay",
        "tool_digest": "d",
        "arguments": {"amount": 40, "account": "acme"},
        "subject": {"customer_id": "C-1"},
        "policy_digest": "p",
    }
    return action_digest(**(action | changes))


@pytest.mark.req("APR-4")
@given(value=st.dictionaries(TEXT, JSON, max_size=4))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


@pytest.mark.req("APR-4")
def test_each_part_of_the_action_counts() -> None:
    changed = [
        digest(tool="pay2"),
        digest(tool_digest="e"),
        digest(arguments={"amount": 41, "account": "acme"}),
        digest(arguments={"amount": "40", "account": "acme"}),
        digest(arguments={"amount": 40, "account": "acme\u200b"}),
        digest(arguments={"amount": 40, "account": "acme", "note": None}),
        digest(subject={"customer_id": "C-2"}),
        digest(policy_digest="q"),
    ]
    assert len({digest(), *changed}) == len(changed) + 1


@pytest.mark.req("APR-4")
@pytest.mark.parametrize("value", [2**53 + 1, float("nan"), float("inf"), "\ud800", {"a": {1: 2}}])
def test_what_has_no_one_form_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        digest_of({"value": value})
