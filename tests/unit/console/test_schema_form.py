"""A form from a JSON Schema gives back the types that it was given."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.schema_form import SchemaForm

pytestmark = pytest.mark.req("APR-3")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "reason": {"type": "string"},
        "express": {"type": "boolean"},
        "size": {"enum": ["small", "large", 3]},
        "address": {"$ref": "#/$defs/Address"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["reason", "amount"],
    "$defs": {"Address": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
VALUES: dict[str, Any] = {
    "amount": 40.0,
    "count": 3,
    "reason": "It broke.\r\nTwice.",
    "express": False,
    "size": 3,
    "address": {"city": "Köln"},
    "tags": ["a", 1, None],
}


def as_posted(form: SchemaForm) -> dict[str, str]:
    """What a browser sends for the form as it stands: line ends become CR LF."""
    return {
        field.input_name: field.value.replace("\r\n", "\n").replace("\n", "\r\n") for field in form.fields
    }


def edited(name: str, text: str, values: dict[str, Any] = VALUES) -> SchemaForm:
    posted = as_posted(SchemaForm(SCHEMA, values)) | {f"field.{name}": text}
    return SchemaForm(SCHEMA, values, posted)


def test_an_untouched_form_gives_back_exactly_what_it_was_given() -> None:
    form = SchemaForm(SCHEMA, VALUES, as_posted(SchemaForm(SCHEMA, VALUES)))
    assert not form.errors
    assert form.data == VALUES
    assert list(map(type, form.data.values())) == [type(VALUES[name]) for name in form.data]


TEXT = st.text(max_size=12)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    st.dictionaries(
        st.text("abcdef", min_size=1, max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | TEXT,
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=3,
        ),
        max_size=3,
    )
)
def test_whatever_was_proposed_survives_an_edit_of_something_else(values: dict[str, Any]) -> None:
    form = SchemaForm({}, values, as_posted(SchemaForm({}, values)))
    assert not form.errors
    assert form.data == values


def test_required_fields_come_first_in_the_order_of_the_author() -> None:
    assert [field.name for field in SchemaForm(SCHEMA, VALUES).fields][:2] == ["reason", "amount"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("amount", "12.50", 12.5),
        ("amount", "12", 12),
        ("count", "7", 7),
        ("express", "true", True),
        ("size", '"large"', "large"),
        ("address", '{"city": "Bonn"}', {"city": "Bonn"}),
        ("note", "hello", "hello"),
        ("reason", "", ""),
    ],
)
def test_an_edit_keeps_the_type(name: str, text: str, value: Any) -> None:
    form = edited(name, text)
    assert not form.errors
    assert form.data[name] == value
    assert type(form.data[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("amount", "forty", "Write a number"),
        ("amount", "1,240.50", "with a point"),
        ("amount", "true", "Write a number"),
        ("amount", "Infinity", "Write a number"),
        ("amount", "", "Give a value"),
        ("count", "1.5", "whole number"),
        ("address", "{city: Bonn}", "not JSON"),
        ("express", "perhaps", "Choose"),
    ],
)
def test_what_can_not_be_read_is_said_beside_its_field(name: str, text: str, message: str) -> None:
    form = edited(name, text)
    (field,) = [field for field in form.fields if field.errors]
    assert field.name == name
    assert message in field.errors[0]
    assert field.value == text


def test_an_emptied_optional_field_is_left_out() -> None:
    assert "count" not in edited("count", "").data
    assert "note" not in edited("note", "").data


def test_errors_of_the_gate_go_to_their_fields() -> None:
    form = SchemaForm(SCHEMA, VALUES)
    form.add_errors(
        [
            {"path": ["address", "city"], "message": "too short"},
            {"path": [], "message": "amount: more than was paid"},
            {"path": [], "message": "The order is closed: nothing can be paid."},
        ]
    )
    errors = {field.name: field.errors for field in form.fields if field.errors}
    assert errors == {"address": ["city: too short"], "amount": ["more than was paid"]}
    assert form.general == ["The order is closed: nothing can be paid."]
