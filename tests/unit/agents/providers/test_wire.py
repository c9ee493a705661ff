"""Reading what providers send."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.providers.base import Usage
from agents.providers.wire import count, json_object, proposed_call, sendable_name, storable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_storable(text: str) -> None:
    clean = storable(text)
    clean.encode()
    assert "\x00" not in clean
    assert len(clean) == len(text)


@given(JSON)
def test_arguments_are_taken_exactly_where_they_are_a_storable_object(value: Any) -> None:
    written = json.dumps(value)
    call = proposed_call("c", "tool", written)
    call.raw.encode()
    value = json.loads(written)  # halves of a surrogate pair that stood side by side are one character now
    assert call.arguments == (value if isinstance(value, dict) and is_storable(value) else None)


def is_storable(value: Any) -> bool:
    try:
        plain = json.dumps(value, ensure_ascii=False, allow_nan=False)
        plain.encode()
    except ValueError:
        return False
    return "\\u0000" not in plain.replace("\\\\", "")


@given(st.text(alphabet=st.characters()) | st.none() | st.integers() | st.lists(st.integers()))
def test_nothing_that_a_model_writes_breaks_the_reading(written: object) -> None:
    call = proposed_call(written, written, written)
    assert call.arguments is None or isinstance(call.arguments, dict)


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\u0000"}', '{"a": ["\\ud800"]}', "[]", "", "[" * 100_000]
)
def test_what_can_not_be_stored_is_no_object(text: str) -> None:
    assert json_object(text) is None


def test_an_object_is_read_whether_written_or_already_parsed() -> None:
    for written in ({"a": 1, "b": "ü"}, '{"a": 1, "b": "ü"}'):
        assert proposed_call("c", "t", written).arguments == {"a": 1, "b": "ü"}


@pytest.mark.parametrize(("number", "expected"), [(5, 5), (None, 0), (-3, 0), ("7", 0), (True, 0), (2.5, 0)])
def test_tokens_are_counted_or_zero(number: object, expected: int) -> None:
    assert count(number) == expected


@pytest.mark.parametrize(
    ("name", "sent"), [("get order!", "get_order_"), ("", "unnamed"), ("x" * 90, "x" * 64)]
)
def test_names_are_sent_as_apis_accept_them(name: str, sent: str) -> None:
    assert sendable_name(name) == sent


def test_buckets_add_up() -> None:
    assert Usage(input=1, cache_read=2, cache_write=4, output=8).total == 15
