"""Several writes as one SQL statement: a guarded change of one row, and all that is true only with it.

Where the guard finds its row as the caller knows it, everything is written and committed in one round trip; where it
doesn't, nothing is. The ORM can't say this, and its several statements were most of the cost of a step.
"""
# ruff: noqa: S608 -- names of tables and columns come from models, and every value is a parameter

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, TypeVar

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from pydantic_core import from_json, to_json

from traces.rows import stored

Model = type[models.Model]
M = TypeVar("M", bound=models.Model)


@dataclass(slots=True)
class Change:
    """New values of one row, found by its primary key, if `where` still holds of it."""

    model: Model
    pk: Any
    values: dict[str, Any]  # by attribute, such as status or approval_id
    where: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that must hold for the guard to pass, or whose value is asked for."""

    sql: str
    params: tuple[Any, ...] = ()


@dataclass(slots=True)
class Statement:
    """What is written together. Rows that are added get the primary key that the database gave them."""

    guard: Change | None = None  # none: the conditions, or the caller's transaction, hold what must be held
    born: Change | None = (
        None  # instead: what conditions and answers may ask of a row that is only added here
    )
    conditions: list[Condition] = field(default_factory=list)  # beside the guard's own, or in its place
    answers: list[Condition] = field(default_factory=list)  # asked for where the guard passed
    changes: list[Change] = field(default_factory=list)  # protected by the guard
    added: list[models.Model] = field(default_factory=list)  # in this order, the rows of one model together

    def execute(self) -> tuple[Any, ...] | None:
        """Write it. Returns the answers; None where the guard did not pass, and nothing was written."""
        tables: dict[Model, list[models.Model]] = {}
        for row in self.added:
            tables.setdefault(type(row), []).append(row)
        text = _text(
            _shape(self.guard),
            _shape(self.born),
            tuple(condition.sql for condition in self.conditions),
            tuple(answer.sql for answer in self.answers),
            tuple(_shape(change) for change in self.changes),
            tuple((model, len(rows), _open(rows[0], tables)) for model, rows in tables.items()),
        )
        database = connections[DEFAULT_DB_ALIAS]  # once: the proxy looks it up each time
        with database.wrap_database_errors, _cursor(database) as cursor:
            cursor.execute(text, self._params(tables), prepare=True)
            returned = cursor.fetchone()
        if returned is None:
            return None
        keys = iter(returned[len(self.answers) :])
        for model, rows in tables.items():
            layout = _layout(model)
            if layout.generated:
                for row, key in zip(rows, next(keys), strict=True):
                    setattr(row, layout.key, key)
            for row in rows:
                row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
                for attribute, relation, parent in layout.parents:
                    if parent in tables:
                        # Past Django's descriptor, which would forget the object that it knows.
                        row.__dict__[attribute] = getattr(row, relation).pk
        return returned[: len(self.answers)]

    def _params(self, tables: dict[Model, list[models.Model]]) -> list[Any]:
        """The values, in the order in which the text names them."""
        params: list[Any] = []
        if (first := self.guard or self.born) is not None:
            _give(first, params)
        for condition in (*self.conditions, *self.answers):
            params.extend(condition.params)
        for change in self.changes:
            _give(change, params)
        for model, rows in tables.items():
            left_open = _open(rows[0], tables)
            columns = [
                (column.attribute, column.adapt)
                for column in _layout(model).columns
                if column.attribute not in left_open
            ]
            for values in map(vars, rows):
                for attribute, adapt in columns:
                    value = values[attribute]
                    params.append(value if value is None or adapt is None else adapt(value))
        return params


@dataclass(frozen=True, slots=True)
class _Column:
    attribute: str
    name: str
    cast: str
    adapt: Callable[[Any], Any] | None  # none: its values are parameters as they are, and so is null


@dataclass(frozen=True, slots=True)
class _Layout:
    """How rows of a model are written."""

    table: str
    key: str
    generated: bool  # its key, by the database
    all_columns: tuple[_Column, ...]
    columns: tuple[_Column, ...]  # without a generated key
    by_attribute: dict[str, _Column]
    parents: tuple[
        tuple[str, str, Model], ...
    ]  # attribute, relation, model, where the database makes the key


@cache
def _layout(model: Model) -> _Layout:
    meta = model._meta
    columns, parents = [], []
    fields: Any = meta.local_concrete_fields
    for item in fields:
        kind = str(item.rel_db_type(connection) if item.is_relation else item.db_type(connection))
        columns.append(_Column(item.attname, item.column, re.sub(r"\(.*?\)", "", kind), _adapter(item)))
        if item.is_relation and isinstance(item.remote_field.model._meta.pk, models.AutoField):
            parents.append((item.attname, item.name, item.remote_field.model))
    generated = isinstance(meta.pk, models.AutoField)
    return _Layout(
        table=meta.db_table,
        key=meta.pk.attname,
        generated=generated,
        all_columns=tuple(columns),
        columns=tuple(column for column in columns if not generated or column.attribute != meta.pk.attname),
        by_attribute={column.attribute: column for column in columns},
        parents=tuple(parents),
    )


def _adapter(item: Any) -> Callable[[Any], Any] | None:
    """From an attribute's value to a parameter. Numbers go as text, so that all sizes share one prepared plan."""
    while item.is_relation:
        item = item.target_field
    if isinstance(item, models.JSONField):
        return lambda value: to_json(value).decode()
    if isinstance(item, models.IntegerField | models.FloatField | models.DecimalField):
        return str
    return None


def _shape(change: Change | None) -> tuple[Model, tuple[str, ...], tuple[str, ...]] | None:
    return (change.model, tuple(change.values), tuple(change.where)) if change else None


def _open(row: models.Model, tables: dict[Model, list[models.Model]]) -> tuple[str, ...]:
    """The foreign keys of `row` that only this statement will know, since it adds the parent."""
    return tuple(
        attribute
        for attribute, _, parent in _layout(type(row)).parents
        if parent in tables and getattr(row, attribute) is None
    )


def _give(change: Change, params: list[Any]) -> None:
    layout = _layout(change.model)
    for attribute, value in (*change.values.items(), (layout.key, change.pk), *change.where.items()):
        adapt = layout.by_attribute[attribute].adapt
        params.append(value if value is None or adapt is None else adapt(value))


@lru_cache(maxsize=1000)
def _text(
    guard: Any,
    born: Any,
    conditions: tuple[str, ...],
    answers: tuple[str, ...],
    changes: tuple[Any, ...],
    added: tuple[tuple[Model, int, tuple[str, ...]], ...],
) -> str:
    parts = [f"held AS ({_held(guard, born, conditions, answers)})"]
    parts.extend(f"changed_{number} AS ({_update(*shape)})" for number, shape in enumerate(changes))
    columns = ["held.*"] if answers else []
    for model, count, left_open in added:
        layout = _layout(model)
        parts.append(f"{layout.table}_new AS ({_insert(layout, count, left_open)})")
        if layout.generated:
            columns.append(f"ARRAY(SELECT {layout.key} FROM {layout.table}_new)")
    text = f"WITH {', '.join(parts)} SELECT {', '.join(columns) or 'true'} FROM held"
    numbers = itertools.count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", text)


def _held(guard: Any, born: Any, conditions: Sequence[str], answers: Sequence[str]) -> str:
    met = "".join(f" AND {condition}" for condition in conditions)
    if guard is None and born is None:
        return f"SELECT true WHERE true{met}"
    named = ", ".join(f"{answer} AS answer_{number}" for number, answer in enumerate(answers))
    if born is not None:
        table = _layout(born[0]).table
        known = f"{table} AS ({_unborn(*born)}), met AS (SELECT true FROM {table} WHERE true{met})"
        return f"WITH {known} SELECT {named or 'true'} FROM {table}, met"
    return f"{_update(*guard, held=False)}{met} RETURNING {named or 'true'}"


def _unborn(model: Model, values: Sequence[str], where: Sequence[str]) -> str:
    """What is known of a row that its table doesn't hold yet."""
    layout = _layout(model)
    columns = (layout.by_attribute[name] for name in (*values, layout.key, *where))
    named = ", ".join(f"%s::{column.cast} AS {column.name}" for column in columns)
    return f"SELECT {named}"


def _update(model: Model, values: Sequence[str], where: Sequence[str], *, held: bool = True) -> str:
    layout = _layout(model)
    columns = layout.by_attribute
    assigned = ", ".join(f"{columns[name].name} = %s::{columns[name].cast}" for name in values)
    found = " AND ".join(
        f"{layout.table}.{columns[name].name} = %s::{columns[name].cast}" for name in (layout.key, *where)
    )
    return f"UPDATE {layout.table} SET {assigned}{' FROM held' if held else ''} WHERE {found}"


def _insert(layout: _Layout, count: int, left_open: tuple[str, ...]) -> str:
    parents = {attribute: _layout(parent) for attribute, _, parent in layout.parents}
    values = ", ".join(
        f"(SELECT {parents[column.attribute].key} FROM {parents[column.attribute].table}_new)"
        if column.attribute in left_open
        else f"%s::{column.cast}"
        for column in layout.columns
    )
    names = ", ".join(column.name for column in layout.columns)
    rows = ", ".join([f"({values})"] * count)
    returning = f" RETURNING {layout.key}" if layout.generated else ""
    return f"INSERT INTO {layout.table} ({names}) SELECT new.* FROM held, (VALUES {rows}) AS new{returning}"


def read(model: type[M], where: str, *params: Any) -> list[M]:
    """The rows of `model` for which `where` holds: SQL with $1, $2 ... for `params`, which may end in an order."""
    return fetch(model, f"SELECT {columns_of(model)} FROM {model._meta.db_table} WHERE {where}", *params)


def fetch(model: type[M], sql: str, *params: Any, also: Sequence[str] = ()) -> list[M]:
    """The rows that a statement returns, which names `columns_of(model)` and then what `also` calls further attributes.

    For the few statements that every stretch of work begins with: the server prepares them, and nothing is compiled.
    """
    layout, rows = _layout(model), ask(sql, *params)
    names = [column.attribute for column in layout.all_columns]
    documents = [number for number, column in enumerate(layout.all_columns) if column.cast == "jsonb"]
    found = []
    for row in rows:
        values = list(row[: len(names)])
        for number in documents:
            if values[number] is not None:
                values[number] = from_json(values[number])
        instance = stored(model, names, values)
        for name, value in zip(also, row[len(names) :], strict=True):
            setattr(instance, name, value)
        found.append(instance)
    return found


def ask(sql: str, *params: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement that is asked often: the server prepares it, and nothing is compiled."""
    database = connections[DEFAULT_DB_ALIAS]
    with database.wrap_database_errors, _cursor(database) as cursor:
        cursor.execute(sql, params, prepare=True)
        return cursor.fetchall()


@cache
def columns_of(model: Model) -> str:
    """All columns of `model`, as `fetch` wants them."""
    layout = _layout(model)
    return ", ".join(f"{layout.table}.{column.name}" for column in layout.all_columns)


def _cursor(database: BaseDatabaseWrapper) -> "psycopg.RawCursor[tuple[Any, ...]]":
    """A cursor whose statements the server prepares; Django's own puts the values into the text."""
    database.ensure_connection()
    return psycopg.RawCursor(database.connection)
