"""Tables of inputs: what is read, and what is said of each bad line."""

from typing import Any

import pytest

from agents.exceptions import BadInput
from agents.tables import read_table, table_of, tasks_of

pytestmark = pytest.mark.req("RUN-11")


def mistakes(content: bytes, name: str = "t.csv") -> list[tuple[Any, str]]:
    """Line and message of each."""
    with pytest.raises(BadInput, match="Nothing was started") as caught:
        read_table(content, name=name)
    return [(each["path"][1:], each["message"]) for each in caught.value.errors]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'\xef\xbb\xbforder,note\r\nO-1,"a\r\nb, ""c"""\r\n\r\nO-2,\r\n', "t.csv"),
        (b'order;note\nO-1;"a\r\nb, ""c"""\nO-2;\n', ""),
        (b'{"order": "O-1", "note": "a\\r\\nb, \\"c\\""}\n\n{"order": "O-2", "note": ""}', "t.jsonl"),
    ],
)
def test_each_kind_is_read(content: bytes, name: str) -> None:
    table = read_table(content, name=name)
    assert table.columns == ["order", "note"]
    assert [line.data for line in table.lines] == [
        {"order": "O-1", "note": 'a\r\nb, "c"'},
        {"order": "O-2", "note": ""},
    ]


def test_lines_are_numbered_as_in_the_file() -> None:
    assert [line.number for line in read_table(b'a,b\n1,"x\ny"\n\n2,z\n', name="t.csv").lines] == [2, 5]


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (b"a,b\n1\n2,3\n4,5,6\n", "t.csv", [([2], "1 values for 2"), ([4], "3 values for 2")]),
        (b"a,a\n1,2\n", "t.csv", [([1], "two columns are called 'a'")]),
        (b"a,\n1,2\n", "t.csv", [([1], "column 2 has no name")]),
        (b'a\n"x\n', "t.csv", [([2], "this is no CSV")]),
        (b"a\nM\xfcller\n", "t.csv", [([2], "this is not UTF-8")]),
        (b"a\nx\x00\n", "t.csv", [([2], "")]),
        (b"", "t.csv", [([], "no rows")]),
        (b"a,b\n", "t.csv", [([], "no rows")]),
        (
            b'{"a": 1}\n[1]\n{"a": NaN}\nx',
            "t.jsonl",
            [([2], "one JSON object"), ([3], "NaN"), ([4], "no JSON")],
        ),
        (b'{"a": "\\ud800"}', "t.jsonl", [([1], "half a character")]),
        (b'{"a": 1}\n{"a": ' + b"[" * 900 + b"]" * 900 + b"}", "t.jsonl", [([2], "more than 50 deep")]),
    ],
)
def test_bad_lines_are_named(content: bytes, name: str, told: list[tuple[list[int], str]]) -> None:
    found = mistakes(content, name)
    assert [place for place, _ in found] == [place for place, _ in told]
    assert all(words in message for (_, message), (_, words) in zip(found, told, strict=True)), found


def test_a_task_is_filled_for_each_row() -> None:
    table = table_of([{"order": "O-1", "n": 2, "subject": "C-1"}, {"order": "{n}", "subject": '{"user": 5}'}])
    tasks = tasks_of(table, "Check {order}, {n} times.", input_max=100)
    assert [task.input for task in tasks] == ["Check O-1, 2 times.", "Check {n},  times."]  # filled once
    assert [task.subject for task in tasks] == [{"customer_id": "C-1"}, {"user": 5}]
    assert tasks_of(table_of([{"a": "x"}]), "Look.", input_max=100)[0].input == "Look.\n\na: x"
    assert tasks_of(table_of([{"input": "Do it."}]), "", input_max=100)[0].input == "Do it."


@pytest.mark.parametrize(
    ("rows", "task", "path", "words"),
    [
        ([{"order": 1}], "Check {odrer}.", ["task"], "did you mean 'order'"),
        ([{"order": 1}], " ", ["task"], "column 'input'"),
        ([{"input": "x"}, {"input": " "}], "", ["table", 2], "the task is empty"),
        ([{"input": "x" * 101}], "", ["table", 1], "at most 100"),
        ([{"input": "x", "subject": "{"}], "", ["table", 1], "the subject is no JSON"),
        ([{"input": "x", "subject": 5}], "", ["table", 1], "neither an id in quotes"),
    ],
)
def test_what_no_run_could_do_is_told_before_anything_starts(
    rows: list[dict[str, Any]], task: str, path: list[Any], words: str
) -> None:
    with pytest.raises(BadInput) as caught:
        tasks_of(table_of(rows), task, input_max=100)
    assert [each["path"] for each in caught.value.errors] == [path]
    assert words in caught.value.errors[0]["message"]
