"""A router classifies, and the agent of the class does the work as a run of its own."""

from typing import Any

import pytest

from agents.actions import cancel_run
from agents.exceptions import BadConfig
from agents.models import Run
from agents.providers.base import FailureKind, ModelFailure
from agents.providers.scripted import answer, call, say, together
from agents.queries import pending_approvals
from console.api.runs import is_settled, shape_run
from tests import tools, world
from tests.integration.agents.conftest import Play
from tests.integration.agents.family import by_agent, carry_all_on, kinds, publish_router
from traces.models import Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("AGT-3")]


@pytest.fixture(autouse=True)
def agents() -> None:
    world.publish_agent("payments")
    world.publish_agent("general")
    publish_router()


def chosen(route: str, confidence: float = 0.9) -> Any:
    return answer({"route": route, "confidence": confidence, "reason": "It is about money."})


def test_the_agent_of_the_class_works_on_the_same_input_and_its_outcome_is_the_routers(play: Play) -> None:
    play(by_agent({("desk", "router"): [chosen("pay")], ("payments", "executor"): [say("Paid nothing.")]}))
    run = world.carry_on(world.start("desk", subject={"customer": "C-1"}))
    assert run.status == "waiting_runs"
    assert run.lease_until is None
    (child,) = Run.objects.filter(parent=run)
    assert (child.version.agent.name, child.input, child.subject) == ("payments", run.input, run.subject)
    assert (child.taint_sources, child.trace_id, child.depth) == (["input"], run.trace_id, 1)
    root = Span.objects.get(pk=child.root_span_id)
    assert (root.parent_id, root.trace_id) == (run.root_span_id, run.trace_id)
    own = run.total_tokens
    run = carry_all_on(run)
    child.refresh_from_db()
    assert (run.status, run.output, run.reason) == ("completed", "Paid nothing.", f"payments: {child.reason}")
    assert (run.turns, run.total_tokens) == (1, own + child.total_tokens)
    assert run.taint_sources == ["input", "agent:payments"]
    assert kinds(run) == ["route", "gather"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([chosen("pay", 0.3)], "30% sure of pay, below 60%"),
        ([chosen("steal")] * 3, "no answer that fits"),
        ([say("pay, I think")] * 3, "no answer that fits"),
        ([call("pay", account="acme", amount=5)] * 3, "no answer that fits"),
        ([answer({"route": ["pay"]})] * 3, "no answer that fits"),
        ([ModelFailure(FailureKind.AUTHENTICATION, "the key is refused")], "the key is refused"),
    ],
)
def test_whatever_else_the_model_says_the_default_is_taken_and_no_tool_is_called(
    play: Play, said: list[Any], words: str
) -> None:
    play(by_agent({("desk", "router"): said, ("general", "executor"): [say("How can I help?")]}))
    run = carry_all_on(world.start("desk"))
    assert (run.status, run.output) == ("completed", "How can I help?")
    route = run.steps.get(kind="route").payload
    assert route["route"] == "other"
    assert words in route["reason"]
    assert world.calls(run) == []
    assert tools.effects() == []


def test_a_class_is_asked_for_again_when_the_answer_was_none(play: Play) -> None:
    model = play(
        by_agent(
            {
                ("desk", "router"): [chosen("nonsense"), chosen("pay")],
                ("payments", "executor"): [say("Done.")],
            }
        )
    )
    assert carry_all_on(world.start("desk")).output == "Done."
    assert model.requests[0].tools == ()


def test_the_router_ends_as_its_agent_ends(play: Play) -> None:
    play(by_agent({("desk", "router"): [chosen("pay")], ("payments", "executor"): [together(say(""))]}))
    run = carry_all_on(world.start("desk"))
    assert (run.status, run.reason) == ("escalated", "payments: The model gave an empty answer.")


def test_an_agent_that_is_gone_leaves_the_default_and_then_a_person(play: Play) -> None:
    routes = [
        {"name": "pay", "when": "Money.", "agent": "nobody"},
        {"name": "other", "when": "Anything else.", "agent": "no-one"},
    ]
    publish_router("lost", routes=routes)
    play(by_agent({("lost", "router"): [chosen("pay")]}))
    run = carry_all_on(world.start("lost"))
    assert run.status == "escalated"
    assert "no live agent 'no-one'" in run.reason


def test_routers_that_point_at_each_other_come_to_an_end(play: Play) -> None:
    for name, other in (("circle", "round"), ("round", "circle")):
        publish_router(name, routes=[{"name": "other", "when": "Anything.", "agent": other}])
    play(by_agent({(name, "router"): [chosen("other")] * 20 for name in ("circle", "round")}))
    run = carry_all_on(world.start("circle"))
    assert run.status == "failed"
    assert "9 runs above" in run.reason
    assert Run.objects.count() == 10


def test_a_router_that_leads_to_itself_is_not_published() -> None:
    with pytest.raises(BadConfig, match=r"router\.routes\.0\.agent: the route leads to circle itself"):
        publish_router("circle", routes=[{"name": "other", "when": "Anything.", "agent": "circle"}])


@pytest.mark.req("RUN-8", "APR-3")
def test_who_waits_for_the_router_is_told_what_the_run_below_asks(play: Play) -> None:
    pay = call("pay", account="acme", amount=40)
    play(by_agent({("desk", "router"): [chosen("pay")], ("payments", "executor"): [pay]}))
    run = world.start("desk")
    assert not is_settled(run)
    run = carry_all_on(run)
    assert run.status == "waiting_runs"
    request = world.pending(Run.objects.get(parent=run))
    assert shape_run(run, None).pending_approvals == [request.pk]
    assert list(pending_approvals(run)) == [request]
    assert is_settled(run)


@pytest.mark.req("RUN-8")
def test_cancelling_the_router_cancels_the_run_below_and_what_that_asked(play: Play) -> None:
    pay = call("pay", account="acme", amount=40)
    play(by_agent({("desk", "router"): [chosen("pay")], ("payments", "executor"): [pay]}))
    run = carry_all_on(world.start("desk"))
    child = Run.objects.get(parent=run)
    assert (run.status, child.status) == ("waiting_runs", "waiting_approval")
    request = world.pending(child)
    cancel_run(run_id=run.pk, actor=world.operator())
    run = carry_all_on(run)
    child.refresh_from_db()
    request.refresh_from_db()
    assert (run.status, child.status, request.status) == ("cancelled", "cancelled", "cancelled")
    assert tools.effects() == []
