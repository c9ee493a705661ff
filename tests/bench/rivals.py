"""The driver's side of the other contenders: their processes, and the same cells as for the engine."""

import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from console import environment
from tests.bench.cells import ROUNDS
from tests.bench.meter import STATISTICS_SECONDS, Meter, cost, spread
from tests.bench.site import Site
from tests.bench.work import IDEAL_SECONDS, MODEL_SECONDS, clock

PATIENCE = 300  # s, for one order


Times = dict[str, tuple[float, ...]]  # by run: begun, done and, after a decision, acted


@contextmanager
def rival(site: Site, *, module: str, interpreter: str, processes: int) -> Iterator["Rival"]:
    """Processes of one contender on an empty database of the site's server, for as long as the block runs."""
    dsn, path = site.database("rival"), site.logs / f"{module}.log"
    with ExitStack() as stack:
        log = stack.enter_context(path.open("wb"))
        started = []
        for number in range(processes):
            process = subprocess.Popen(
                [interpreter, "-m", module, dsn, "first" if number == 0 else "other"],
                cwd=environment.ROOT,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                # It ends when its input does, so it does not outlive this process.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            stack.callback(_end, process)
            started.append(process)
            _answer(process, path)  # the first one makes the tables
        trees = {"workers": [process.pid for process in started]}
        meter = Meter(dsn=dsn, data=site.postgres.data, trees=trees)
        stack.callback(meter.close)
        contender = Rival(started, meter, path)
        contender.order(
            "decide", contender.order("start", _ids(6))
        )  # whoever does something first takes longer
        yield contender


class Rival:
    """A contender that is ready."""

    def __init__(self, processes: "list[subprocess.Popen[str]]", meter: Meter, log: Path) -> None:
        self.processes, self.meter, self.log = processes, meter, log

    def measure(
        self, number: int, *, rounds: int = 0, seconds: float = 0, settle: bool = False
    ) -> dict[str, Any]:
        """Rounds of `number` runs, as `cells.measure` has them; each model call takes `seconds`."""
        rounds = rounds or ROUNDS.get(number, 1)
        if settle:
            time.sleep(STATISTICS_SECONDS)
        started: list[Times] = []
        decided: list[Times] = []
        phases = [0.0, 0.0]
        before = self.meter.read()
        for _ in range(rounds):
            begun = clock()
            started.append(self.order("start", _ids(number), seconds))
            waiting = clock()
            decided.append(self.order("decide", started[-1], seconds))
            phases[0] += waiting - begun
            phases[1] += clock() - waiting
        after = self.meter.read()
        runs = number * rounds
        row = cost(before, after, runs=runs) | {"rounds": rounds, "runs_per_s": round(runs / sum(phases), 2)}
        row["phase_s"] = [round(phase, 3) for phase in phases]
        if settle:
            time.sleep(STATISTICS_SECONDS)
            row["commits_per_run"] = cost(before, self.meter.read(), runs=runs)["commits_per_run"]
        else:
            del row["commits_per_run"]
        row["rss_mb"] = [round(size / 2**20, 1) for size in self.meter.rss("workers")]
        row["active_ms"] = spread(
            (first[run][1] - first[run][0]) + (second[run][1] - second[run][0])
            for first, second in zip(started, decided, strict=True)
            for run in first
        )
        row["decision_to_execution_ms"] = spread(t[2] - t[0] for times in decided for t in times.values())
        row["first_decision_to_execution_ms"] = spread(
            t[2] - min(u[0] for u in times.values()) for times in decided for t in times.values()
        )
        if seconds:
            row["ideal_ms"] = 1000 * IDEAL_SECONDS
            row["p95_to_ideal"] = round(row["active_ms"]["p95"] / row["ideal_ms"], 3)
        return row

    def slow(self, number: int) -> dict[str, Any]:
        """R5L."""
        return self.measure(number, rounds=1, seconds=MODEL_SECONDS)

    def one_at_a_time(self, number: int) -> dict[str, Any]:
        """Decisions one by one."""
        runs = self.order("start", _ids(number))
        times = [self.order("decide", [run])[run] for run in runs]
        return {"decision_to_execution_ms": spread(t[2] - t[0] for t in times)}

    def order(self, what: str, runs: Iterable[str], seconds: float = 0) -> Times:
        """Have all processes together do this for the runs: begun, done and, after a decision, acted, by run."""
        runs = list(runs)
        shares = [runs[number :: len(self.processes)] for number in range(len(self.processes))]
        for process, share in zip(self.processes, shares, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps({"do": what, "runs": share, "seconds": seconds}) + "\n")
            process.stdin.flush()
        times: Times = {}
        for process in self.processes:
            answer = _answer(process, self.log)
            for run, (begun, done) in answer["times"].items():
                acted = (answer["acted"][run],) if what == "decide" else ()
                times[run] = (begun, done, *acted)
        return times


def _answer(process: "subprocess.Popen[str]", log: Path) -> dict[str, Any]:
    assert process.stdout is not None
    alarm = threading.Timer(PATIENCE, process.kill)
    alarm.start()
    try:
        line = process.stdout.readline()
    finally:
        alarm.cancel()
    if not line:
        words = log.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"A contender ended, or gave no answer within {PATIENCE} s: {words}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def _ids(number: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(number)]
