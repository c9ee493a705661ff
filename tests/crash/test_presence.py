"""The runs of a worker that died go on as soon as another is there, long before their leases run out."""

import pytest

from agents.models import Run
from tests import world
from tests.crash.conftest import Crew
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-5")]

LEASE = 60  # s; the test waits for no lease


def at_work() -> int:
    return Run.objects.filter(status="running", fence=1).count()


def test_a_dead_workers_runs_are_taken_over_at_once(crew: Crew) -> None:
    world.publish_agent(tools=[{"python": "tests.tools.pay"}])
    first = crew.hire(lease_seconds=LEASE, latency=20)
    for _ in range(5):
        world.start(trusted_input=True)
    until(lambda: at_work() == 5, "they are at work")
    first.kill()
    crew.hire(lease_seconds=LEASE)
    until(lambda: Run.objects.filter(status="waiting_approval").count() == 5, "they went on", seconds=20)


def test_a_living_worker_keeps_its_runs(crew: Crew) -> None:
    world.publish_agent(tools=[{"python": "tests.tools.pay"}])
    crew.hire(lease_seconds=LEASE, latency=4)
    run = world.start(trusted_input=True)
    until(lambda: at_work() == 1, "it is at work")
    crew.hire(lease_seconds=LEASE)
    until(lambda: Run.objects.filter(status="waiting_approval").exists(), "it asks", seconds=20)
    assert Run.objects.get(pk=run.pk).fence == 1
