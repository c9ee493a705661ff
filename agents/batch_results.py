"""What a batch came to: a line for each row, in the order of its table, as CSV or JSON lines."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from agents.masking import hidden_from, hide_in_runs
from agents.models import Batch, BatchRow
from approvals.access import Actor

CHUNK = 500  # rows that are read at a time
RESULT_COLUMNS = ("run_id", "run_status", "run_output", "run_reason", "run_cost_usd")

_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?\Z")
# A spreadsheet takes a cell that begins so for a formula, which can send what stands beside it to anybody.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_csv(batch: Batch, actor: Actor) -> Iterator[str]:
    """The table with what became of each row; no cell of it is a formula to a spreadsheet."""
    yield "\ufeff" + _written(["line", *batch.columns, *RESULT_COLUMNS])
    for row in _rows(batch, actor):
        result = _result(row)
        cells = [row.line, *(row.data.get(name, "") for name in batch.columns)]
        yield _written([*cells, *(result[name] for name in RESULT_COLUMNS)])


def as_jsonl(batch: Batch, actor: Actor) -> Iterator[str]:
    """{line, input, run_id, run_status, ...} on each line; `input` is the row."""
    for row in _rows(batch, actor):
        told = {"line": row.line, "input": row.data, **_result(row)}
        yield json.dumps(told, ensure_ascii=False) + "\n"


def hide_in_batch(rows: Sequence[BatchRow], actor: Actor) -> None:
    """Mask what rows and their runs tell, on these objects, which are for showing alone."""
    hide_in_runs([row.run for row in rows if row.run], actor)
    hidden = hidden_from(actor, {row.run_id for row in rows if row.run_id})
    for row in rows:
        if row.run_id in hidden:
            scrubber = hidden[row.run_id].scrubber
            row.data, row.subject = scrubber.value(row.data), scrubber.value(row.subject)
            row.input, row.error = scrubber.text(row.input), scrubber.text(row.error)


def _rows(batch: Batch, actor: Actor) -> Iterator[BatchRow]:
    rows = batch.rows.select_related("run").order_by("line").iterator(chunk_size=CHUNK)
    while chunk := list(islice(rows, CHUNK)):
        hide_in_batch(chunk, actor)
        yield from chunk


def _result(row: BatchRow) -> dict[str, Any]:
    run = row.run
    return {
        "run_id": str(run.pk) if run else None,
        "run_status": run.status if run else ("not_started" if row.state == "failed" else row.state),
        "run_output": run.output if run else None,
        "run_reason": (run.reason if run.is_final else "") if run else row.error,
        "run_cost_usd": float(run.cost_usd) if run else None,
    }


def _written(cells: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([_harmless(cell) for cell in cells])
    return line.getvalue()


def _harmless(cell: Any) -> str:
    if cell is None:
        return ""
    text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.match(text) else text
