"""What a stretch of work costs: CPU by process tree, write-ahead log, commits, memory."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.bench.work import clock

STATISTICS_SECONDS = 10.5  # an idle connection reports its commits within ten


@dataclass(frozen=True)
class Reading:
    """Everything that is counted, at one moment."""

    at: float  # s, `work.clock`
    cpu: dict[str, float]  # s, by name of the tree
    busy: float  # s of CPU of the whole machine
    wal: int  # bytes
    writes: int  # transaction numbers given out: transactions that wrote
    commits: int  # of the database, reads included
    checkpoints: int


class Meter:
    """Reads the counters. `trees` are the roots of the process trees by name; Postgres is found by its data folder.

    The meter's own connection is kept out of Postgres' CPU time and commits, with whatever is asked over it.
    """

    def __init__(self, *, dsn: str, data: Path, trees: Mapping[str, Iterable[int]]) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.asked = 0
        self._own = psutil.Process(self.connection.info.backend_pid)
        self._postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        self.trees = {name: list(pids) for name, pids in trees.items()}

    def ask(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query that counts for nobody."""
        self.asked += 1
        return self.connection.execute(query.encode(), list(values), prepare=True).fetchall()

    def read(self) -> Reading:
        """All counters now."""
        commits = self.ask("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0][
            0
        ]
        [(wal, writes, checkpoints)] = self.ask(
            "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,"
            " pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " (SELECT num_timed + num_requested FROM pg_stat_checkpointer)"
        )
        cpu = {name: sum(map(_tree_seconds, pids)) for name, pids in self.trees.items()}
        cpu["postgres"] = _tree_seconds(self._postmaster.pid) - _seconds(self._own)
        cpu["driver"] = _seconds(psutil.Process())
        return Reading(
            clock(), cpu, _busy_seconds(), int(wal), int(writes), int(commits) - self.asked, int(checkpoints)
        )

    def rss(self, name: str) -> list[int]:
        """Resident bytes of each process named in the tree `name`."""
        return [psutil.Process(pid).memory_info().rss for pid in self.trees[name]]

    def close(self) -> None:
        """Give the connection back."""
        self.connection.close()


def cost(before: Reading, after: Reading, *, runs: int) -> dict[str, Any]:
    """What lies between two readings, per run. CPU in ms; `other_cpu_share` is what others used of the machine."""
    wall = after.at - before.at
    spent = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
    other = after.busy - before.busy - sum(spent.values())
    return {
        "runs": runs,
        "cpu_ms_per_run": {name: round(1000 * seconds / runs, 2) for name, seconds in spent.items()},
        "wal_kb_per_run": round((after.wal - before.wal) / runs / 1024, 2),
        "write_transactions_per_run": round((after.writes - before.writes) / runs, 2),
        "commits_per_run": round((after.commits - before.commits) / runs, 2),
        "checkpoints": after.checkpoints - before.checkpoints,
        "other_cpu_share": round(max(0.0, other) / wall / (os.cpu_count() or 1), 3),
    }


def spread(values: Iterable[float], *, scale: float = 1000, digits: int = 2) -> dict[str, Any]:
    """Number, median, 95th percentile and maximum; of seconds in ms, unless `scale` says otherwise."""
    ordered = sorted(values)
    if not ordered:
        return {"n": 0, "p50": None, "p95": None, "max": None}
    last = len(ordered) - 1

    def at(share: float) -> float:
        return round(scale * ordered[round(share * last)], digits)

    return {"n": len(ordered), "p50": at(0.5), "p95": at(0.95), "max": at(1)}


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _tree_seconds(pid: int) -> float:
    """CPU of a process and of all that it started, whether they live or not."""
    root = psutil.Process(pid)
    times = root.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in root.children(recursive=True):
        try:
            total += _seconds(child)
        except psutil.NoSuchProcess:
            continue  # it ended just now
    return total


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return sum(times[:8]) - times.idle - times.iowait - times.steal
