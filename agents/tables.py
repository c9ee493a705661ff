"""Tables of inputs: CSV, or a JSON object on each line. Pure."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.exceptions import BadInput
from agents.nearest import hint
from traces.storable import storable

MAX_ROWS = 50_000
MAX_BYTES = 50 * 1024 * 1024
MAX_COLUMNS = 200
MAX_DEPTH = 50  # of a value, as in bodies of the API
MAX_TOLD = 50  # mistakes
INPUT, SUBJECT = "input", "subject"  # columns with a meaning of their own

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")

Mistake = dict[str, Any]  # {path: ["table", line], message}


@dataclass(frozen=True, slots=True)
class Line:
    """One row, and on which line of the file it begins, from 1."""

    number: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """All rows, each with the same columns, or some of them."""

    columns: list[str]
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Task:
    """What a row is to its run."""

    line: Line
    input: str
    subject: dict[str, Any]


def read_table(content: bytes, *, name: str = "") -> Table:
    """The rows of a file; what kind it is its name says, or its beginning. Raises BadInput with every bad line."""
    if len(content) > MAX_BYTES:
        raise _bad([_wrong(None, f"the table has {len(content):,} bytes; at most {MAX_BYTES:,} are taken")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _bad(
            [_wrong(line, f"this is not UTF-8 (byte {error.start}): save the table as UTF-8")]
        ) from error
    is_json = name.lower().endswith((".jsonl", ".ndjson")) or (
        not name.lower().endswith((".csv", ".tsv")) and text.lstrip().startswith("{")
    )
    wrong: list[Mistake] = []
    lines = list(_within(_json_lines(text, wrong) if is_json else _csv_lines(text, wrong), wrong))
    return _table(lines, wrong)


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows as they are; their numbers count from 1. Raises BadInput."""
    wrong: list[Mistake] = []
    lines = (Line(number, dict(row)) for number, row in enumerate(rows, 1))
    return _table(list(_within(lines, wrong)), wrong)


def tasks_of(table: Table, task: str, *, input_max: int) -> list[Task]:
    """The task of each row. Raises BadInput for a task that names no column, and with every bad line.

    `{column}` in the task stands for the row's value; a task without any is followed by the whole row, and without a
    task each row brings its own, in the column `input`. A column `subject` says on whose behalf: an id, or an object.
    """
    named = _PLACEHOLDER.findall(task)
    for name in named:
        if name not in table.columns:
            message = f"the table has no column {name!r}; {hint(name, table.columns)}"
            raise BadInput(message[:1].upper() + message[1:], errors=[{"path": ["task"], "message": message}])
    if not task.strip() and INPUT not in table.columns:
        message = f"say what is to be done with each row, or give the table a column {INPUT!r}"
        raise BadInput(f"{message.capitalize()}.", errors=[{"path": ["task"], "message": message}])
    wrong: list[Mistake] = []
    found = [Task(line, _input(line, task, bool(named)), _subject(line, wrong)) for line in table.lines]
    for each in found:
        if not each.input.strip():
            wrong.append(_wrong(each.line.number, "there is nothing to do: the task is empty"))
        elif len(each.input) > input_max:
            message = f"the task has {len(each.input):,} characters; the agent takes at most {input_max:,}"
            wrong.append(_wrong(each.line.number, message))
    if wrong:
        raise _bad(wrong)
    return found


def _csv_lines(text: str, wrong: list[Mistake]) -> Iterator[Line]:
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)  # the first where none occurs
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            wrong.append(_wrong(number, f"this is no CSV: {error}"))
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not columns:
            columns = [cell.strip() for cell in cells]
            if mistakes := list(_header(columns, number)):
                wrong.extend(mistakes)
                return
        elif len(cells) != len(columns):
            wrong.append(_wrong(number, f"{len(cells)} values for {len(columns)} columns"))
        else:
            yield Line(number, dict(zip(columns, cells, strict=True)))


def _header(columns: list[str], number: int) -> Iterator[Mistake]:
    for place, name in enumerate(columns, 1):
        if not name:
            yield _wrong(number, f"column {place} has no name: the first line names the columns")
        elif name in columns[: place - 1]:
            yield _wrong(number, f"two columns are called {name!r}")


def _json_lines(text: str, wrong: list[Mistake]) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            wrong.append(_wrong(number, f"this is no JSON: {error}"))
            continue
        if isinstance(value, dict):
            yield Line(number, value)
        else:
            wrong.append(_wrong(number, 'write one JSON object on each line, such as {"order_id": "O-1042"}'))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")


def _within(lines: Iterator[Line], wrong: list[Mistake]) -> Iterator[Line]:
    """Those that can be stored, and not more than are taken."""
    for count, line in enumerate(lines, 1):
        if count > MAX_ROWS:
            wrong.append(_wrong(line.number, f"a batch takes at most {MAX_ROWS:,} rows: split the table"))
            return
        if _is_deeper(line.data, MAX_DEPTH):
            wrong.append(_wrong(line.number, f"a value is nested more than {MAX_DEPTH} deep"))
        elif storable(line.data) != line.data:
            wrong.append(_wrong(line.number, "a value holds NUL, half a character, or a number that is none"))
        else:
            yield line


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _table(lines: list[Line], wrong: list[Mistake]) -> Table:
    columns = list(dict.fromkeys(name for line in lines for name in line.data))
    if len(columns) > MAX_COLUMNS:
        wrong.append(_wrong(None, f"{len(columns):,} columns; at most {MAX_COLUMNS} are taken"))
    if not lines and not wrong:
        wrong.append(_wrong(None, "the table has no rows"))
    if wrong:
        raise _bad(wrong)
    return Table(columns, lines)


def _input(line: Line, task: str, has_places: bool) -> str:
    if not task.strip():
        return _text(line.data.get(INPUT, ""))
    if has_places:
        return _PLACEHOLDER.sub(lambda found: _text(line.data.get(found[1], "")), task)
    told = "\n".join(f"{name}: {_text(value)}" for name, value in line.data.items())
    return f"{task.rstrip()}\n\n{told}"


def _subject(line: Line, wrong: list[Mistake]) -> dict[str, Any]:
    """An object as it is, or as JSON; else the id of a customer."""
    value = line.data.get(SUBJECT)
    if value in (None, ""):
        return {}
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            value = json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            wrong.append(_wrong(line.number, f"the subject is no JSON: {error}"))
            return {}
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {"customer_id": value.strip()}
    wrong.append(_wrong(line.number, "the subject is neither an id in quotes nor an object"))
    return {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _wrong(line: int | None, message: str) -> Mistake:
    return {"path": ["table"] if line is None else ["table", line], "message": message}


def _bad(wrong: list[Mistake]) -> BadInput:
    shown = sorted(wrong, key=lambda each: each["path"][1:])[:MAX_TOLD]
    first = shown[0]
    where = f"Line {first['path'][1]}: " if len(first["path"]) > 1 else ""
    more = f" {len(wrong):,} mistakes in all." if len(wrong) > 1 else ""
    message = f"Nothing was started. {where}{first['message']}.{more}"
    return BadInput(message, errors=shown)
