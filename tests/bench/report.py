"""The document as a table for people, with the targets and whether each is met."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """An aim: `value` reads it from the document, where the cells that it needs were run."""

    name: str
    most: float  # or least, where `least`
    value: Callable[[Document], float]
    least: bool = False
    unit: str = ""


def cpu(row: dict[str, Any]) -> float:
    """CPU of workers (or the other contender's processes) and Postgres, in ms per run."""
    return float(row["cpu_ms_per_run"]["workers"] + row["cpu_ms_per_run"]["postgres"])


def _engine(cell: str, *path: str) -> Callable[[Document], float]:
    return lambda document: float(_at(document["engine"][cell], *path))


def _ratio(
    cell: str, value: Callable[[dict[str, Any]], float], *, against: str
) -> Callable[[Document], float]:
    return lambda document: value(document["engine"][cell]) / value(document["contenders"][against][cell])


def _at(row: Any, *path: str) -> Any:
    for name in path:
        row = row[name]
    return row


ONE, TWO = "langgraph, 1 process", "langgraph, 2 processes"
TARGETS = (
    Target("CPU per run to LangGraph's, R5A-200", 0.6, _ratio("r5a-200", cpu, against=ONE)),
    Target(
        "runs/s of two workers to LangGraph's, R5A-200",
        2,
        _ratio("r5a-200", lambda row: float(row["runs_per_s"]), against=ONE),
        least=True,
    ),
    Target(
        "WAL per run to LangGraph's, R5A-200",
        0.5,
        _ratio("r5a-200", lambda row: float(row["wal_kb_per_run"]), against=ONE),
    ),
    Target(
        "memory of a worker, 1,000 runs waiting",
        200,
        lambda document: max(document["engine"]["r5a-1000"]["waiting"]["worker_rss_mb"]),
        unit="MB",
    ),
    Target(
        "leases, busy threads and open transactions of waiting runs",
        0,
        lambda document: sum(
            document["engine"]["r5a-1000"]["waiting"][name]
            for name in ("leases", "busy_threads", "open_transactions")
        ),
    ),
    Target("p95 of a run to the ideal, R5L-200", 1.15, _engine("r5l-200", "p95_to_ideal")),
    Target(
        "decision to execution, p95, one at a time",
        15,
        _engine("decision", "decision_to_execution_ms", "p95"),
        unit="ms",
    ),
    Target(
        "decision to execution, p95, 1,000 at once, to LangGraph's",
        0.5,
        _ratio("r5a-1000", lambda row: float(row["decision_to_execution_ms"]["p95"]), against=ONE),
    ),
    Target(
        "the same from the first decision of the 1,000",
        0.5,
        _ratio("r5a-1000", lambda row: float(row["first_decision_to_execution_ms"]["p95"]), against=ONE),
    ),
    Target(
        "turn of 200 conversations, p95",
        3000,
        _engine("conversations", "turn_ms", "p95"),
        unit="ms",
    ),
    Target(
        "added by the gate to a read, p50",
        8,
        _engine("gateway", "added_ms", "p50"),
        unit="ms",
    ),
    Target("first page of 10,000 pending, p95", 100, _engine("inbox", "page_ms", "p95"), unit="ms"),
    Target("arrival on 50 open pages, p95", 300, _engine("inbox", "arrival_ms", "p95"), unit="ms"),
    Target(
        "recovery of 200 runs, from workers that are ready",
        3,
        _engine("recovery", "moved_s", "from_ready"),
        unit="s",
    ),
    Target("what crashes broke", 0, lambda document: len(document["engine"]["crash"]["violations"])),
)


def targets(document: Document) -> list[dict[str, Any]]:
    """Each target whose cells were run: name, aim, value, unit, and whether it is met."""
    found = []
    for target in TARGETS:
        try:
            value = round(target.value(document), 3)
        except KeyError:
            continue  # its cell was not asked for
        found.append(
            {
                "name": target.name,
                "aim": f"{'at least' if target.least else 'at most'} {target.most:g}",
                "value": value,
                "unit": target.unit,
                "met": value >= target.most if target.least else value <= target.most,
            }
        )
    return found


COLUMNS = (
    ("runs/s", lambda row: row["runs_per_s"]),
    ("CPU ms", cpu),
    ("of it PG", lambda row: row["cpu_ms_per_run"]["postgres"]),
    ("driver", lambda row: row["cpu_ms_per_run"]["driver"]),
    ("WAL kB", lambda row: row["wal_kb_per_run"]),
    ("writes", lambda row: row["write_transactions_per_run"]),
    ("commits", lambda row: row["commits_per_run"]),
    ("active p50", lambda row: row["active_ms"]["p50"]),
    ("active p95", lambda row: row["active_ms"]["p95"]),
    ("exec p50", lambda row: row["decision_to_execution_ms"]["p50"]),
    ("exec p95", lambda row: row["decision_to_execution_ms"]["p95"]),
    ("of all p95", lambda row: row["first_decision_to_execution_ms"]["p95"]),
    ("others", lambda row: f"{row['other_cpu_share']:.0%}"),
)
OWN = ("conversations", "gateway", "inbox", "recovery", "crash")  # cells with figures of their own
LEGEND = """\
Per run: CPU of workers and Postgres in ms, and beside it that of the driver, which starts, decides and watches; WAL in kB;
transactions that wrote; commits, reads included, where the time was taken until the server tells of all.
active: start to wait and decision to end, in ms. exec: call of `decide` to the first line of the tool, in ms; of all: the
same from the first decision of the batch. others: share of the machine that nobody here used.
"""


def as_text(document: Document) -> str:
    """The tables, ending with a line break."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    yield ""
    yield ", ".join(f"{name} {value}" for name, value in (document["machine"] | document["settings"]).items())
    yield LEGEND
    contenders = {"engine": document["engine"], **document["contenders"]}
    cells = dict.fromkeys(cell for rows in contenders.values() for cell in rows)
    yield f"{'':34}" + "".join(f"{name:>11}" for name, _ in COLUMNS)
    for cell in cells:
        for name, rows in contenders.items():
            if cell in rows and cell not in OWN:
                yield f"{cell:10}{name:24}" + "".join(f"{_shown(rows[cell], get):>11}" for _, get in COLUMNS)
    for cell in OWN:
        if cell in document["engine"]:
            yield ""
            yield cell
            yield from (f"  {name}: {value}" for name, value in document["engine"][cell].items())
    yield ""
    for target in document["targets"]:
        met = "met    " if target["met"] else "NOT MET"
        yield f"{met}  {target['name']}: {target['value']:g} {target['unit']} ({target['aim']})"
    yield from (f"VIOLATED: {what}" for what in document["violations"])


def _shown(row: dict[str, Any], get: Callable[[dict[str, Any]], Any]) -> str:
    try:
        value = get(row)
    except KeyError:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
