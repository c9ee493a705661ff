"""R5A and R5L: rounds of runs that start together, all wait, are all decided together, and end."""

import time
from collections.abc import Callable
from typing import Any

from tests.bench.driver import Batch, Driver
from tests.bench.meter import STATISTICS_SECONDS, cost, spread
from tests.bench.work import IDEAL_SECONDS, clock
from tests.waiting import until

ROUNDS = {1: 100, 50: 8, 200: 3}


def measure(
    driver: Driver,
    number: int,
    *,
    agent: str = "quick",
    rounds: int = 0,
    settle: bool = False,
    while_waiting: Callable[[Batch], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Rounds of `number` runs. `settle`: take the time in which the server's count of commits becomes exact."""
    rounds = rounds or ROUNDS.get(number, 1)
    if settle:
        time.sleep(STATISTICS_SECONDS)
    batches, phases, found = [], [0.0, 0.0], {}
    before = driver.meter.read()
    for _ in range(rounds):
        begun = clock()
        batch = driver.start(number, agent=agent)
        driver.wait_until_asking(batch)
        waiting = clock()
        if while_waiting is not None:
            found = while_waiting(batch)
        deciding = clock()
        driver.decide(batch)
        driver.wait_until_over(batch)
        phases[0] += waiting - begun
        phases[1] += clock() - deciding
        batches.append(batch)
    after = driver.meter.read()
    runs = number * rounds
    row = cost(before, after, runs=runs) | {"rounds": rounds, "runs_per_s": round(runs / sum(phases), 2)}
    row["phase_s"] = [round(seconds, 3) for seconds in phases]
    if settle:
        time.sleep(STATISTICS_SECONDS)
        settled = driver.meter.read()
        row["commits_per_run"] = cost(before, settled, runs=runs)["commits_per_run"]
    else:
        del row["commits_per_run"]  # connections tell late of their commits
    active = [seconds for batch in batches for seconds in driver.active_seconds(batch)]
    row["active_ms"] = spread(active)
    return row | execution(driver, batches) | found


def execution(driver: Driver, batches: list[Batch]) -> dict[str, Any]:
    """From decision to the first line of the tool, in ms: from the call of `decide`, from its commit, and from the
    first decision of the batch, as if all had been made in that instant."""
    called, committed, first = [], [], []
    for batch in batches:
        acts = driver.site.ledger.acts(batch.started)
        begun = min(decision.called for decision in batch.decisions.values())
        for run, decision in batch.decisions.items():
            called.append(acts[run] - decision.called)
            first.append(acts[run] - begun)
            if decision.committed is not None:
                committed.append(acts[run] - decision.committed)
    return {
        "decision_to_execution_ms": spread(called),
        "commit_to_execution_ms": spread(committed),
        "first_decision_to_execution_ms": spread(first),
    }


def slow(driver: Driver, number: int) -> dict[str, Any]:
    """R5L: each model call takes half a second."""
    row = measure(driver, number, agent="slow", rounds=1)
    row["ideal_ms"] = 1000 * IDEAL_SECONDS
    row["p95_to_ideal"] = round(row["active_ms"]["p95"] / row["ideal_ms"], 3)
    return row


def one_at_a_time(driver: Driver, number: int) -> dict[str, Any]:
    """Decisions one by one, each with workers that have nothing else to do."""
    batch = driver.start(number)
    driver.wait_until_asking(batch)
    for run in batch.ids:
        driver.decide(batch, [run])
        until(lambda run=str(run): driver.site.ledger.acts([run]), "the call executes", seconds=60)  # type: ignore[misc]
    driver.wait_until_over(batch)
    found = execution(driver, [batch])
    del found["first_decision_to_execution_ms"]  # they were not made together
    return found


def held(driver: Driver, batch: Batch) -> dict[str, Any]:
    """What is held while every run of the batch waits for a person: memory, and nothing else."""
    from console.celery import app

    def nothing_runs() -> bool:
        answers = app.control.inspect(timeout=2).active() or {}
        return len(answers) == len(driver.site.workers) and not any(answers.values())

    until(nothing_runs, "no thread of a worker works on anything", seconds=20)
    leases = driver.meter.ask("SELECT count(*) FROM agents_run WHERE lease_until IS NOT NULL")[0][0]
    # Row locks live in open transactions. The clock's sweep may just have one: the least of several looks counts.
    looks = []
    for _ in range(10):
        looks.append(
            driver.meter.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
            )[0][0]
        )
        time.sleep(0.05)
    return {
        "waiting": {
            "runs": len(batch.started),
            "worker_rss_mb": [round(size / 2**20, 1) for size in driver.meter.rss("workers")],
            "leases": leases,
            "busy_threads": 0,
            "open_transactions": min(looks),
        }
    }
