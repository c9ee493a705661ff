"""What is hashed: one form for each value, and a tree that proves one of many."""

import hashlib
import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from traces.audit.forms import canonical
from traces.audit.tree import paths_of, root_by, root_of

pytestmark = pytest.mark.req("APR-9")

usual = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(usual | st.floats(allow_nan=False, allow_infinity=False))
def test_the_form_is_that_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value",
    [2**80, -(2**80), 1e400, {"a": [2**53]}, json.loads("[" * 300 + "]" * 300), "\ud800", {"\ud800": 1.5}],
)
def test_nothing_that_an_event_can_hold_has_no_form(value: Any) -> None:
    assert canonical(value) == canonical(json.loads(json.dumps(value)))


def test_what_lies_deep_counts() -> None:
    deep = [json.loads("[" * 100 + text + "]" * 100) for text in ("1", "2")]
    assert canonical(deep[0]) != canonical(deep[1])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 31, 100])
def test_each_leaf_is_proven_at_its_place_only(count: int) -> None:
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(count)]
    root = root_of(leaves)
    for place, path in enumerate(paths_of(leaves, range(count))):
        assert root_by(leaves[place], place=place, count=count, path=path) == root
        assert root_by(leaves[place], place=(place + 1) % count, count=count, path=path) != root or count == 1
        assert root_by(hashlib.sha256(b"other").digest(), place=place, count=count, path=path) != root
        assert root_by(leaves[place], place=place, count=count, path=[*path, root]) is None
        if path:
            assert root_by(leaves[place], place=place, count=count, path=path[1:]) is None
