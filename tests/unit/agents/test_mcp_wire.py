"""Bytes and schemas of MCP servers, bounded before anything else sees them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.tools.mcp.schemas import require_plain, without_patterns
from agents.tools.mcp.wire import TOO_LARGE, Lines, TooLong


@pytest.mark.req("TOOL-3")
@given(st.binary(max_size=200), st.lists(st.integers(1, 20), max_size=20))
def test_lines_are_the_same_however_they_arrive(data: bytes, sizes: list[int]) -> None:
    lines, found, start = Lines(limit=1000), [], 0
    for size in [*sizes, 1000]:
        found += list(lines.feed(data[start : start + size]))
        start += size
    assert found == data.split(b"\n")[:-1]


@pytest.mark.req("TOOL-3")
@pytest.mark.parametrize(
    "keys", [("jsonrpc", "id", "result"), ("id", "result", "jsonrpc"), ("result", "jsonrpc", "id")]
)
@pytest.mark.parametrize("chunk", [7, 100_000])
def test_a_reply_that_is_too_large_fails_its_own_call(keys: tuple[str, ...], chunk: int) -> None:
    message = {"jsonrpc": "2.0", "id": 12, "result": {"text": "x" * 5000, "id": 99, "z": 0}}
    sent = (json.dumps({key: message[key] for key in keys}) + "\nnext\n").encode()
    lines = Lines(limit=1000)
    found = [line for start in range(0, len(sent), chunk) for line in lines.feed(sent[start : start + chunk])]
    long, after = found
    assert isinstance(long, TooLong)
    answer = long.answer()
    assert answer is not None
    assert (answer.id, answer.error.code) == (12, TOO_LARGE)
    assert after == b"next"


@pytest.mark.req("TOOL-3")
def test_a_long_line_that_is_no_reply_fails_nothing() -> None:
    [line] = Lines(limit=10).feed(
        b'{"method": "notifications/message", "params": {"id": 3}}' + b" " * 50 + b"\n"
    )
    assert isinstance(line, TooLong)
    assert line.answer() is None


@pytest.mark.req("GRD-4")
def test_regular_expressions_of_servers_are_not_ours_to_run() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "(a+)+$"},
            "list": {"items": {"pattern": "b"}},
        },
        "patternProperties": {"^x": {}},
        "additionalProperties": False,
    }
    assert without_patterns(schema) == {
        "type": "object",
        "properties": {"pattern": {"type": "string"}, "list": {"items": {}}},
    }


@pytest.mark.req("GRD-4")
def test_schemas_that_point_elsewhere_are_refused() -> None:
    require_plain({"$ref": "#/$defs/a"})
    for schema in ({"anyOf": [{"$ref": "http://x/"}]}, {"$dynamicRef": "other"}):
        with pytest.raises(ValueError, match="points to"):
            require_plain(schema)
    deep: dict[str, object] = {}
    for _ in range(100):
        deep = {"not": deep}
    with pytest.raises(ValueError, match="too deep"):
        require_plain(deep)
