"""Rows that are made and read by the dozen in each step: as a model's constructor makes them, in a part of its time.

The constructor takes any mixture of positions, names, defaults and relations, and sends two signals; here are names alone.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models.base import ModelState

M = TypeVar("M", bound=models.Model)


def new(model: type[M], /, **values: Any) -> M:
    """A row of `model` that is not stored yet, with defaults for what `values` leaves out."""
    plain, made, relations, attributes = _blank(model)
    row = model.__new__(model)
    given = vars(row)
    given["_state"] = ModelState()
    given.update(plain)
    for attribute, default in made:
        if attribute not in values:
            given[attribute] = default()
    for name, value in values.items():
        if name in attributes:
            given[name] = value
        elif name in relations:
            setattr(row, name, value)  # which also keeps the object
        else:
            raise TypeError(f"{model.__name__} has no field {name!r}.")
    return row


def stored(model: type[M], attributes: Sequence[str], values: Sequence[Any]) -> M:
    """A row of `model` as the database has it: the value of each of `attributes`, by which all columns are named."""
    row = model.__new__(model)
    state = ModelState()
    state.adding, state.db = False, DEFAULT_DB_ALIAS
    vars(row).update(zip(attributes, values, strict=True), _state=state)
    return row


@cache
def _blank(
    model: type[models.Model],
) -> tuple[dict[str, Any], tuple[tuple[str, Callable[[], Any]], ...], frozenset[str], frozenset[str]]:
    """Of a model: defaults that never change, those that are made anew, names of relations, and of attributes."""
    fields: Any = model._meta.concrete_fields
    made = {
        field.attname: field.default for field in fields if field.has_default() and callable(field.default)
    }
    plain = {field.attname: field.get_default() for field in fields if field.attname not in made}
    relations = frozenset(field.name for field in fields if field.is_relation)
    return plain, tuple(made.items()), relations, frozenset(field.attname for field in fields)
