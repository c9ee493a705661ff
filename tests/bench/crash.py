"""Workers are killed at random moments of R5A, and replaced; the ledger tells what was really done."""

import random
import time
from collections import Counter, defaultdict
from typing import Any

from django.conf import settings

from agents.decisions import decide
from approvals.models import Approval, Kind
from tests.bench.driver import FINAL, Driver
from tests.bench.ledger import Entry
from tests.bench.site import WORKERS
from tests.bench.work import CALLS, clock

KILLS = 3  # of a trial
REPEATS = 16  # of ordinary calls, at most, for each kill
LONGEST = 180  # s, of a trial


def crash(driver: Driver, *, runs: int, trials: int, seed: int) -> dict[str, Any]:
    """So many trials; `violations` has, in words, whatever must not be."""
    chance = random.Random(seed)
    rows = [_Trial(driver, chance, runs).play() for _ in range(trials)]
    driver.meter.trees["workers"] = [worker.pid for worker in driver.site.workers]
    violations = [
        f"trial {number}: {what}" for number, row in enumerate(rows, 1) for what in row.pop("violations")
    ]
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "seconds"}
    return {
        "trials": trials,
        "seed": seed,
        **total,
        "seconds": [row["seconds"] for row in rows],
        "violations": violations,
    }


class _Trial:
    """One batch, from its start until every run has ended."""

    def __init__(self, driver: Driver, chance: random.Random, runs: int) -> None:
        self.driver, self.chance, self.runs = driver, chance, runs
        # A moment is a number of lines in the ledger, so that a kill hits the work and not a pause in it.
        self.moments = sorted(chance.sample(range(runs // 10, runs * CALLS - runs // 10), KILLS))
        self.before = len(driver.site.ledger.read())
        self.kills = 0
        self.violations: list[str] = []

    def play(self) -> dict[str, Any]:
        begun = clock()
        self.batch = self.driver.start(self.runs)
        self._until_settled(begun + LONGEST)
        reconcile = self._check_queue()
        self._check_standing({"completed", "waiting_approval"})
        self._answer(reconcile)
        self._until_settled(begun + LONGEST)
        self._check_standing({"completed"})
        repeated = self._check_ledger()
        return {
            "kills": self.kills,
            "in_reconcile_queue": len(reconcile),
            "ordinary_calls_repeated": repeated,
            "seconds": round(clock() - begun, 1),
            "violations": self.violations,
        }

    def _entries(self) -> list[Entry]:
        return [entry for entry in self.driver.site.ledger.read()[self.before :] if entry.kind != "ready"]

    def _until_settled(self, deadline: float) -> None:
        """Kill at the moments, replace who died, approve what is asked, until every run has ended or asks what happened."""
        while True:
            if self.moments and len(self._entries()) >= self.moments[0]:
                del self.moments[0]
                victim = self.chance.randint(1, WORKERS)
                self.driver.site.kill(victim)
                self.driver.site.hire(victim)
                self.kills += 1
            self.driver.decide(self.batch)
            if not self.moments and self._settled():
                return
            if clock() > deadline:
                raise RuntimeError(f"A trial took more than {LONGEST} s: {self.driver.standing(self.batch)}")
            time.sleep(0.05)

    def _settled(self) -> bool:
        [(moving,)] = self.driver.meter.ask(
            "SELECT count(*) FROM agents_run r WHERE id = ANY(%s) AND NOT status = ANY(%s) AND NOT"
            " (status = 'waiting_approval' AND EXISTS (SELECT 1 FROM approvals_approval a"
            "  WHERE a.run_id = r.id AND a.kind = 'reconcile' AND a.status = 'pending'))",
            (self.batch.ids, FINAL),
        )
        return bool(moving == 0)

    def _check_queue(self) -> list[Approval]:
        """The requests that ask what happened; there may be one for each slot for irreversible calls and kill."""
        pending = Approval.objects.filter(run_id__in=self.batch.ids, status="pending", kind=Kind.RECONCILE)
        if (found := len(pending)) > (allowed := settings.EFFECT_SLOTS * self.kills):
            self.violations.append(f"{found} calls in doubt after {self.kills} kills; at most {allowed}")
        return list(pending)

    def _check_standing(self, right: set[str]) -> None:
        """Each run has completed, or waits in the queue and says why."""
        rows = self.driver.meter.ask(
            "SELECT status, reason, count(*) FROM agents_run WHERE id = ANY(%s) GROUP BY 1, 2",
            (self.batch.ids,),
        )
        for status, reason, count in rows:
            if status not in right or (status == "waiting_approval" and not reason):
                self.violations.append(f"{count} runs are {status}, with the reason {reason!r}")

    def _answer(self, pending: list[Approval]) -> None:
        """Say what happened, as the ledger has it: who was killed does nothing any more."""
        acted = {entry.key for entry in self._entries() if entry.kind == "act"}
        for request in pending:
            outcome = "happened" if str(request.call_id) in acted else "not_happened"
            decide(
                approval_id=request.pk,
                actor=self.driver.actor,
                decision="answer",
                digest=request.digest,
                answer={"outcome": outcome},
            )

    def _check_ledger(self) -> int:
        """Each approved effect once and after its decision; each ordinary call at least once, and by one key."""
        entries = self._entries()
        counts = Counter((entry.run, entry.number) for entry in entries)
        keys: dict[tuple[str, int], set[str]] = defaultdict(set)
        for entry in entries:
            keys[entry.run, entry.number].add(entry.key)
        for run in self.batch.started:
            for number in range(1, CALLS + 1):
                times = counts[run, number]
                if not times:
                    self.violations.append(f"run {run} has lost call {number}")
                elif number == CALLS and times > 1:
                    self.violations.append(f"run {run} has done the approved effect {times} times")
                if len(keys[run, number]) > 1:
                    self.violations.append(f"run {run} has repeated call {number} under another key")
        for entry in entries:
            if entry.kind == "act" and not entry.at > self.batch.decisions[entry.run].called:
                self.violations.append(f"run {entry.run} has done the approved effect before its decision")
        repeated = sum(times - 1 for (_, number), times in counts.items() if number < CALLS)
        if repeated > REPEATS * self.kills:
            self.violations.append(f"{repeated} ordinary calls were repeated after {self.kills} kills")
        return repeated
