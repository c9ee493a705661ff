"""Every worker is killed in the middle of 200 runs, and started again: how long until each run moves on."""

import time
from collections.abc import Callable
from typing import Any

from tests.bench.driver import FINAL, Batch, Driver
from tests.bench.work import clock

LONGEST = 120  # s

STANDING = "SELECT id::text, fence, turns, status FROM agents_run WHERE id >= %s"


def recover(driver: Driver, number: int) -> dict[str, Any]:
    """Kill while each model call takes half a second; see the run claimed anew, and take its next step.

    Times are in s: from the start of the new processes, and from when the last of them was ready.
    """
    site = driver.site
    site.kill_all()
    batch = driver.start(number, agent="slow")  # while nobody works, so that all of them are cut off together
    site.hire_all()
    _until(lambda: not _standing(driver, batch, "queued"), "all runs are being worked on")
    site.kill_all()
    left = {run: row for run, row in _rows(driver, batch).items() if row[2] not in FINAL}
    cut_off = {run for run, row in left.items() if row[2] in {"running", "queued"}}
    started = clock()
    site.hire_all()
    claimed: dict[str, float] = {}
    moved: dict[str, float] = {}

    def all_moved() -> bool:
        now = clock()
        for run, (fence, turns, status) in _rows(driver, batch).items():
            if run in cut_off and fence > left[run][0]:
                claimed.setdefault(run, now)
                if turns > left[run][1] or status not in {"running", "queued"}:
                    moved.setdefault(run, now)
        return len(moved) == len(cut_off)

    _until(all_moved, "all runs move on")
    ready = max(site.wait_ready().values())
    driver.meter.trees["workers"] = [worker.pid for worker in site.workers]
    driver.wait_until_asking(batch)
    driver.decide(batch)
    driver.wait_until_over(batch)

    def times(moments: dict[str, float]) -> dict[str, float]:
        last = max(moments.values(), default=ready)
        return {"from_start": round(last - started, 2), "from_ready": round(last - ready, 2)}

    return {
        "runs": number,
        "cut_off": len(cut_off),
        "ready_s": round(ready - started, 2),
        "claimed_s": times(claimed),
        "moved_s": times(moved),
    }


def _rows(driver: Driver, batch: Batch) -> dict[str, tuple[int, int, str]]:
    return {
        run: (fence, turns, status)
        for run, fence, turns, status in driver.meter.ask(STANDING, (min(batch.ids),))
    }


def _standing(driver: Driver, batch: Batch, status: str) -> int:
    return sum(row[2] == status for row in _rows(driver, batch).values())


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = clock() + LONGEST
    while not condition():
        if clock() > deadline:
            raise RuntimeError(f"Not within {LONGEST} s: {what}.")
        time.sleep(0.02)
