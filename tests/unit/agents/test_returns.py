"""What a tool returns, as a schema: from its type hint, or as its entry states it; who takes a call back relies on it."""

from typing import Any

import pytest
from typing_extensions import TypedDict

from agents.config.tools import ToolOptions
from agents.exceptions import BadConfig
from agents.tools import ToolContext, tool
from agents.tools.links import wrong_links
from agents.tools.options import with_options
from agents.tools.spec import Tool

pytestmark = pytest.mark.req("TOOL-1", "TOOL-9")


class Line(TypedDict):
    """A line of a booking."""

    seat: str


class Booking(TypedDict):
    """What booking returns."""

    number: int
    lines: list[Line]


@tool(effect="reversible")
def cancel(context: ToolContext, number: int) -> None:
    """Cancel a booking."""


@tool(effect="reversible")
def book(context: ToolContext, seat: str) -> Booking:
    """Book a seat."""
    return {"number": 1, "lines": [{"seat": seat}]}


@tool(effect="reversible")
def note(context: ToolContext, text: str) -> dict[str, Any]:
    """Note something."""
    return {}


def objections(source: Tool, number: str, **stated: Any) -> list[str]:
    """What is wrong with taking back a call by this template."""
    undo = {"tool": "cancel", "arguments": {"number": number}}
    whole = with_options(source, ToolOptions.model_validate({"undo": undo, **stated}))
    return [wrong for _, wrong in wrong_links(whole, {"cancel": cancel}, fallback=True, undo=True)]


def test_a_type_hint_is_the_schema_of_what_comes_back() -> None:
    assert book.returns["required"] == ["number", "lines"]
    assert cancel.returns == {"type": "null"}
    assert objections(book, "result.number") == objections(book, "result.lines.0.seat") == []
    assert objections(note, "result.anything") == []
    assert objections(book, "result.nmuber") == [
        "result.nmuber: in what book returns, there is no field 'nmuber'; did you mean 'number'?"
    ]
    assert "there is no field 'row' of lines" in objections(book, "result.lines.0.row")[0]


def test_an_entry_states_it_for_a_tool_of_any_kind() -> None:
    returns = {"type": "object", "properties": {"id": {"type": "integer"}}}
    assert objections(note, "result.id", returns=returns) == []
    assert "did you mean 'id'?" in objections(note, "result.idd", returns=returns)[0]
    with pytest.raises(BadConfig, match="returns of note: this is no JSON Schema: type"):
        objections(note, "result.id", returns={"type": "objekt"})
