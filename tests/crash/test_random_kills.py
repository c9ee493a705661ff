"""Workers are killed at random moments under load, and replaced as a supervisor does."""

import random

import pytest

from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.states import FINAL_RUN
from approvals.models import Approval, Kind
from tests import tools, world
from tests.crash.conftest import Crew, sweep_until
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-1", "RUN-5", "TOOL-4")]

RUNS = 30
KILLS = 5
LEASE = 3  # s; far more than a living worker needs to renew it, however busy the machine


@pytest.mark.timeout(180)
def test_thirty_runs_survive_workers_that_die_at_random_moments(crew: Crew) -> None:
    chance = random.Random(20)
    # A run leaves 10 events and more: each moment is a number of them, so that all phases of the work are hit. What
    # each worker is at just then, no seed tells.
    moments = sorted(chance.sample(range(RUNS, RUNS * 9), KILLS))
    workers = [crew.hire(lease_seconds=LEASE, latency=0.05) for _ in range(2)]
    for name in ("pay", "pay_once"):
        world.publish_agent(name, tools=[{"python": f"tests.tools.{name}"}])
    runs = [world.start(("pay", "pay_once")[place % 2], trusted_input=True) for place in range(RUNS)]

    def all_settled() -> bool:
        if moments and Event.objects.count() >= moments[0]:
            moments.pop(0)
            victim = chance.randrange(len(workers))
            workers[victim].kill()
            workers[victim] = crew.hire(lease_seconds=LEASE, latency=0.05)
        # A few at each look, so that there are looks between all phases of the work, however quick the workers are.
        for request in Approval.objects.filter(status="pending", kind=Kind.ACTION)[:4]:
            decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
        asking = Approval.objects.filter(status="pending", kind=Kind.RECONCILE).values("run_id")
        resting = Run.objects.filter(pk__in=asking, status="waiting_approval")
        return Run.objects.exclude(status__in=FINAL_RUN).exclude(pk__in=resting.values("pk")).count() == 0

    sweep_until(all_settled, "every run ends, or asks a person what happened", seconds=150)
    assert not moments
    in_doubt = set(Approval.objects.filter(status="pending").values_list("run_id", flat=True))
    # A call in doubt may be of a worker that was only slow: the truth about it stands once all are dead.
    crew.kill()
    for request in Approval.objects.filter(status="pending"):
        happened = f"pay {request.call_id} acme 40.0" in tools.effects()
        answer = {"outcome": "happened" if happened else "not_happened"}
        decide(
            approval_id=request.pk,
            actor=world.operator(),
            decision="answer",
            digest=request.digest,
            answer=answer,
        )
    crew.hire()
    sweep_until(
        lambda: Run.objects.filter(status="completed").count() == RUNS, "every run completes", seconds=60
    )
    paid = sorted(tools.effects())
    calls = ToolCall.objects.filter(run__in=runs)
    assert paid == sorted(f"{call.tool} {call.pk} acme 40.0" for call in calls)
    assert len(paid) == RUNS
    assert {call.run_id for call in calls if call.status == "reconciled"} <= in_doubt
    for run in runs:
        names = list(Event.objects.filter(run_id=run.pk).order_by("pk").values_list("name", flat=True))
        assert names.index("approval.approved") < names.index("tool_call.claimed")
        assert names.count("approval.approved") == names.count("run.completed") == 1
