"""Rows made past the constructor are the rows that it makes."""

from typing import Any

import pytest
from django.db import models
from django.utils import timezone

from agents.models import Run, Step, StepKind, ToolCall
from traces.models import Event, Span, SpanBody
from traces.rows import new, stored

NOW = timezone.now()
RUN = Run()
STEP = Step(run=RUN, seq=1, kind=StepKind.MODEL, payload={}, created_at=NOW)
GIVEN: list[tuple[type[models.Model], dict[str, Any]]] = [
    (Event, {"name": "run.started", "at": NOW, "actor": "system", "run_id": RUN.pk, "data": {"a": 1}}),
    (Span, {"id": "1" * 16, "trace_id": "2" * 32, "name": "chat m", "started_at": NOW, "model": "m"}),
    (SpanBody, {"span": Span(id="1" * 16), "input": {"a": 1}}),
    (Step, {"run": RUN, "seq": 2, "kind": StepKind.MODEL, "payload": {}, "created_at": NOW}),
    (ToolCall, {"id": RUN.pk, "run": RUN, "step": STEP, "index": 0, "tool": "pay", "created_at": NOW}),
]


def values(row: models.Model) -> dict[str, Any]:
    return {name: value for name, value in vars(row).items() if name != "_state"}


@pytest.mark.parametrize(("model", "given"), GIVEN)
def test_a_new_row_is_as_the_constructor_makes_it(model: type[models.Model], given: dict[str, Any]) -> None:
    made, usual = new(model, **given), model(**given)
    assert values(made) == values(usual)
    assert (made._state.adding, made._state.db) == (True, usual._state.db)
    for name, value in given.items():
        assert getattr(made, name) is value


def test_what_is_made_anew_is_shared_by_no_two_rows() -> None:
    one, other = new(Event, name="a.b", actor="system"), new(Event, name="a.b", actor="system")
    one.data["a"] = 1
    assert other.data == {}
    assert new(Span).pk != new(Span).pk


def test_a_field_that_there_is_not_is_named() -> None:
    with pytest.raises(TypeError, match="Event has no field 'nmae'"):
        new(Event, nmae="run.started")


def test_a_stored_row_is_as_the_orm_reads_it() -> None:
    names = [field.attname for field in Event._meta.concrete_fields]
    row = [7, "run.started", NOW, "system", "", None, {"a": 1}]
    read = stored(Event, names, row)
    assert values(read) == values(Event.from_db("default", names, row))
    assert (read._state.adding, read._state.db) == (False, "default")
