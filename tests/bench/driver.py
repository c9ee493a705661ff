"""Whoever starts runs and decides: one process with a few threads, in place of web server, API and people."""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from agents.actions import start_run
from agents.decisions import decide
from agents.states import FINAL_RUN
from approvals.models import Approval, Kind
from tests import world
from tests.bench.meter import Meter
from tests.bench.site import Site
from tests.bench.work import clock
from tests.bench.workers import SLOW

THREADS = 4
AGENTS = {"quick": "scripted:instant", "slow": f"scripted:{SLOW}"}
POLICY = [
    {"tool": "note", "then": "allow"},
    {"effect": "irreversible", "then": "require", "approvers": 1, "role": "operator"},
]
FINAL = sorted(map(str, FINAL_RUN))

_commit = BaseDatabaseWrapper._commit  # type: ignore[attr-defined]
_last = threading.local()  # .commit: when the last COMMIT of this thread returned


def _noting_commit(wrapper: Any) -> None:
    _commit(wrapper)
    _last.commit = clock()


@dataclass
class Decision:
    """When somebody decided about a run (s, `work.clock`)."""

    called: float  # just before `decide` was called
    committed: float | None  # when its COMMIT returned; None where that could not be seen
    returned: float
    wall: float  # `called` on the clock of the database's timestamps


@dataclass
class Batch:
    """Runs that were started together."""

    agent: str
    started: dict[str, float] = field(default_factory=dict)  # Unix time just before `start_run`, by run id
    began: float = 0.0  # s, `work.clock`
    decisions: dict[str, Decision] = field(default_factory=dict)

    @property
    def ids(self) -> list[UUID]:
        return [UUID(run) for run in self.started]


class Driver:
    """Starts runs and decides by the product's own functions; watches over the meter's connection."""

    def __init__(self, site: Site, meter: Meter) -> None:
        self.site, self.meter = site, meter
        self.actor = world.operator()
        for name, model in AGENTS.items():
            tools = [{"python": f"tests.bench.tools.{tool}"} for tool in ("note", "act")]
            limits = {"seconds": "1h"}  # a run that a kill holds up is not to end by its time
            world.publish_agent(
                name, models={"executor": model}, tools=tools, policy=POLICY, limits=limits, pattern="react"
            )
        self._threads = ThreadPoolExecutor(THREADS)
        BaseDatabaseWrapper._commit = _noting_commit  # type: ignore[attr-defined]

    def start(self, number: int, *, agent: str = "quick") -> Batch:
        """Start so many runs as fast as that goes."""
        batch = Batch(agent, began=clock())

        def one(_: int) -> tuple[str, float]:
            at = time.time()
            run = start_run(agent=agent, input="Read the open orders, then act.", trusted_input=True)
            connection.close()
            return str(run.pk), at

        batch.started = dict(self._threads.map(one, range(number)))
        return batch

    def decide(self, batch: Batch, runs: Iterable[UUID] | None = None) -> None:
        """Approve what these runs ask (all of the batch that ask), as fast as that goes."""
        asked = Approval.objects.filter(run_id__in=runs or batch.ids, status="pending", kind=Kind.ACTION)
        requests = list(asked.order_by("requested_at").values_list("run_id", "pk", "digest"))

        def one(request: tuple[UUID, UUID, str]) -> None:
            run, approval, digest = request
            _last.commit, wall, called = None, time.time(), clock()
            decide(approval_id=approval, actor=self.actor, decision="approve", digest=digest)
            batch.decisions[str(run)] = Decision(called, _last.commit, clock(), wall)
            connection.close()

        list(self._threads.map(one, requests))

    def wait_for(self, batch: Batch, statuses: list[str]) -> None:
        """Return once every run of the batch has one of these statuses."""
        count = len(batch.started)
        seconds = 60 + count / 2  # far more than it should take
        # Time-ordered ids: the batch is all from its first. Looking is kept out of the figures, but not out of the
        # machine, so few are looked at often and many seldom.
        query = "SELECT count(*) FROM agents_run WHERE id >= %s AND status = ANY(%s)"
        pause, values = (0.002 if count == 1 else 0.02), (min(batch.ids), statuses)
        deadline = clock() + seconds
        while (arrived := self.meter.ask(query, values)[0][0]) < count:
            if clock() > deadline:
                raise RuntimeError(
                    f"After {seconds:g} s, {arrived} of {count} runs are {' or '.join(statuses)}:"
                    f" {self.standing(batch)}"
                )
            self.site.require_alive()
            time.sleep(pause)

    def wait_until_asking(self, batch: Batch) -> None:
        """Return once every run of the batch waits for a decision."""
        self.wait_for(batch, ["waiting_approval"])

    def wait_until_over(self, batch: Batch) -> None:
        """Return once every run of the batch has ended; RuntimeError unless each completed."""
        self.wait_for(batch, FINAL)
        if set(self.standing(batch)) != {"completed "}:
            raise RuntimeError(f"Not every run completed: {self.standing(batch)}")

    def standing(self, batch: Batch) -> dict[str, int]:
        """How many runs of the batch stand where, with the reason in words where there is one."""
        rows = self.meter.ask(
            "SELECT status, CASE status WHEN 'completed' THEN '' ELSE reason END, count(*) FROM agents_run"
            " WHERE id = ANY(%s) GROUP BY 1, 2",
            (batch.ids,),
        )
        return {f"{status} {reason}": count for status, reason, count in rows}

    def active_seconds(self, batch: Batch) -> list[float]:
        """How long each run was at it: from its start to its wait, and from its decision to its end."""
        rows = self.meter.ask(
            "SELECT r.id::text, extract(epoch FROM s.at)::float8, extract(epoch FROM r.ended_at)::float8"
            " FROM agents_run r JOIN LATERAL (SELECT max(at) AS at FROM traces_event e"
            " WHERE e.run_id = r.id AND e.name = 'run.suspended') s ON true WHERE r.id = ANY(%s)",
            (batch.ids,),
        )
        return [
            (suspended - batch.started[run]) + (ended - batch.decisions[run].wall)
            for run, suspended, ended in rows
        ]

    def close(self) -> None:
        """End the threads and give the connections back."""
        self._threads.shutdown(cancel_futures=True)
        BaseDatabaseWrapper._commit = _commit  # type: ignore[attr-defined]
        connection.close()
