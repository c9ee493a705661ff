"""What a program does about plans, and what it says a task must yield."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from agents.models import Run
from agents.providers.routing import using
from agents.providers.scripted import Scripted, answer, call, say
from tests import world
from tests.integration.console.callers import Caller

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = [{"title": "Look", "categories": ["lookup"]}, {"title": "Pay", "categories": ["mutation"]}]


@pytest.fixture
def play() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(using(Scripted(list(script))))


@pytest.mark.req("RUN-12")
def test_a_person_steers_a_plan_and_reads_what_came_of_it(play: Any) -> None:
    world.publish_agent(pattern="plan_execute")
    plan = answer({"goal": "Pay", "steps": STEPS, "needs_clarification": None})
    play(plan, call("pay", account="acme", amount=40))
    run = world.carry_on(world.start())
    ana = Caller("ana", "operator")
    for _ in range(2):  # the answer was lost: it is one wish
        ana.post(f"/runs/{run.pk}/plan", {"action": "retry", "number": 1}, key="k")
        assert ana.status == 200
    world.carry_on(run)
    (step,) = [item for item in ana.get(f"/runs/{run.pk}/steps")["items"] if item["kind"] == "steer"]
    assert step["payload"]["action"] == "retry"
    assert step["payload"]["by"] == "token:ana"
    ana.post(f"/runs/{run.pk}/plan", {"action": "skip", "number": 9})
    assert ana.status in (400, 422)
    ana.post(f"/runs/{run.pk}/plan", {"action": "burn"})
    assert ana.status == 422
    ana.post(f"/runs/{run.pk}/plan", {"action": "retry", "number": 2})
    assert ana.status == 409
    Caller("eve", "analyst").post(f"/runs/{run.pk}/plan", {"action": "replan"})
    assert run.steps.filter(kind="steer").count() == 1


@pytest.mark.req("AGT-5")
def test_a_task_says_what_it_must_yield(play: Any) -> None:
    world.publish_agent()
    shop = Caller("shop", "service")
    task = {"agent": "teller", "input": "What do they have?"}
    schema = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}
    shop.post("/runs", task | {"success": {"type": "array"}})
    assert shop.status in (400, 422)
    started = shop.post("/runs", task | {"success": schema})
    assert shop.status == 201
    play(say("Nothing."), answer({"note": "Nothing."}))
    world.carry_on(Run.objects.get(pk=started["id"]))
    assert shop.get(f"/runs/{started['id']}")["output"] == '{"note": "Nothing."}'
