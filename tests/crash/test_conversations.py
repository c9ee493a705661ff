"""A worker dies in the middle of a conversation, or just after a turn: the next turns come, in order, and once."""

from itertools import pairwise

import pytest

from agents.models import Run
from tests import world
from tests.crash import worker
from tests.crash.conftest import Crew, sweep_until
from tests.crash.fate import Point

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-5", "RUN-7")]


@pytest.mark.parametrize(
    "point", [Point("ask executor", "after"), Point("finish", "before"), Point("finish", "after")], ids=str
)
def test_turns_go_on_in_order_after_a_crash(crew: Crew, point: Point) -> None:
    world.publish_agent(tools=[{"python": "tests.tools.pay"}], policy=[{"then": "allow"}])
    runs = [world.start(input=f"Turn {n}", conversation="k") for n in range(3)]
    fate = crew.doom(point)
    crew.bury(crew.start(worker.work, fate, 0.3, 0), fate)
    crew.hire()
    sweep_until(lambda: not Run.objects.exclude(status="completed").exists(), "every turn is over")
    ordered = list(Run.objects.order_by("created_at"))
    assert [run.pk for run in ordered] == [run.pk for run in runs]
    for before, after in pairwise(ordered):
        assert before.ended_at is not None
        assert after.started_at is not None
        assert before.ended_at <= after.started_at
    assert Run.objects.count() == 3
