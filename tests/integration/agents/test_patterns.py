"""Chains, plans, fast paths and tasks that say what they must yield."""

import json
from typing import Any

import pytest
from django.utils import timezone

from agents.actions import start_run
from agents.exceptions import BadInput
from agents.models import Run
from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.scripted import answer, call, say, together
from agents.queries import fast_path_share, plan_of
from tests import tools, world
from tests.integration.agents.conftest import Play
from tests.integration.agents.family import kinds, payloads

pytestmark = pytest.mark.django_db(transaction=True)

DONE = {"verdict": "complete", "confidence": 0.9, "summary": "Done.", "feedback": ""}
LOOK, PAY, NOTE = (
    {"title": "Look at the balance", "categories": ["lookup"]},
    {"title": "Pay", "categories": ["mutation"]},
    {"title": "Search the archive", "categories": ["search"], "optional": True},
)


def plan(*steps: dict[str, Any], question: str | None = None) -> ModelResponse:
    return answer({"goal": "Pay acme", "steps": list(steps), "needs_clarification": question})


def tool_names(request: ModelRequest) -> set[str]:
    return {tool.name for tool in request.tools}


def states(run: Run) -> list[str]:
    return [step.state for step in plan_of(run)]


def refusals(run: Run) -> list[str]:
    return [
        str(result["message"])
        for result in run.tool_calls.filter(status="refused").order_by("pk").values_list("result", flat=True)
        if result
    ]


class TestChain:
    pytestmark = pytest.mark.req("AGT-3")

    CHAIN = (
        {"title": "Look", "instructions": "Find the balance.", "categories": ["lookup"]},
        {"title": "Judge", "instructions": "Is it too low?"},
        {"title": "Write", "instructions": "Write one line."},
    )

    def test_each_link_goes_on_from_what_the_one_before_said(self, play: Play) -> None:
        model = play(
            [call("get_balance", account="acme"), say("It is 1240."), say("No."), say("All is well.")]
        )
        world.publish_agent(pattern="chain", chain=self.CHAIN)
        run = world.carry_on(world.start())
        assert (run.status, run.output, run.turns) == ("completed", "All is well.", 4)
        links = [step.payload["link"] for step in run.steps.order_by("seq")]
        assert links == [1, 1, 2, 3]
        assert "get_balance" in tool_names(model.requests[0])
        assert "pay" not in tool_names(model.requests[0])
        assert [tool_names(request) for request in model.requests[2:]] == [set(), set()]
        asked = model.requests[2].messages
        assert [message.text for message in asked if message.role == "assistant"][-1] == "It is 1240."
        assert "Link 2 of 3: Judge. Is it too low?" in asked[-1].text

    def test_a_tool_of_no_category_of_the_link_is_refused(self, play: Play) -> None:
        play([call("pay", account="acme", amount=40), say("Could not."), say("So."), say("There.")])
        world.publish_agent(pattern="chain", chain=self.CHAIN, policy=[{"then": "allow"}])
        run = world.carry_on(world.start())
        assert run.status == "completed"
        assert "the link 'Look' has not" in refusals(run)[0]
        assert tools.effects() == []

    @pytest.mark.req("RUN-5")
    def test_a_crash_goes_on_at_the_right_link(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        model = play([say("One."), say("Two."), say("Three.")])
        world.publish_agent(pattern="chain", chain=self.CHAIN)
        run = world.start()
        real, turns = model.complete, iter(range(99))

        def dying(request: ModelRequest, **values: Any) -> ModelResponse:
            if next(turns) % 2:
                raise KeyboardInterrupt
            return real(request, **values)

        monkeypatch.setattr(model, "complete", dying)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                world.carry_on(run)
        run = world.carry_on(run)
        assert (run.status, run.output) == ("completed", "Three.")
        assert [step.payload["link"] for step in run.steps.order_by("seq")] == [1, 2, 3]

    def test_a_link_without_a_usable_answer_escalates(self, play: Play) -> None:
        play([say("One."), say(" ")])
        world.publish_agent(pattern="chain", chain=self.CHAIN)
        run = world.carry_on(world.start())
        assert run.status == "escalated"
        assert run.reason.endswith("That was in link 2 of 3.")


@pytest.mark.req("AGT-4")
class TestPlan:
    def test_the_executor_sees_the_tools_of_the_step_that_it_is_at(self, play: Play) -> None:
        model = play(
            [
                plan(LOOK, PAY),
                together(call("get_balance", account="acme"), call("finish_step")),
                call("pay", account="acme", amount=40),
                say("Paid."),
                answer(DONE),
            ]
        )
        world.publish_agent(pattern="plan_execute", policy=[{"then": "allow"}])
        run = world.carry_on(world.start())
        assert run.status == "completed"
        executor = [request for request in model.requests if request.metadata["role"] == "executor"]
        assert {"get_balance", "finish_step"} <= tool_names(executor[0])
        assert "pay" not in tool_names(executor[0])
        assert "pay" in tool_names(executor[1])
        assert not {"get_balance", "finish_step"} & tool_names(executor[1])
        assert "You are at step 2" in executor[1].messages[-1].text
        assert states(run) == ["done", "done"]
        assert world.calls(run) == [("get_balance", "succeeded"), ("pay", "succeeded")]
        assert run.turns == 3  # to finish a step costs no turn

    def test_a_mark_alone_is_a_turn_that_goes_on(self, play: Play) -> None:
        play([plan(LOOK, PAY), call("finish_step"), say("Nothing to pay."), answer(DONE)])
        world.publish_agent(pattern="plan_execute")
        run = world.carry_on(world.start())
        assert (run.status, run.output, states(run)) == ("completed", "Nothing to pay.", ["done", "done"])

    def test_a_tool_of_a_later_step_moves_on_and_one_of_none_is_refused(self, play: Play) -> None:
        play(
            [
                plan(LOOK, PAY),
                call("pay", account="acme", amount=40),
                call("get_balance", account="acme"),
                say("Paid."),
                answer(DONE),
            ]
        )
        world.publish_agent(pattern="plan_execute", policy=[{"then": "allow"}])
        run = world.carry_on(world.start())
        assert world.calls(run) == [("pay", "succeeded"), ("get_balance", "succeeded")]
        play([plan(LOOK), call("pay", account="acme", amount=40), say("I can't pay."), answer(DONE)])
        run = world.carry_on(world.start())
        assert refusals(run) == [
            "No step of the plan needs pay. Go on without it, or say in your answer that it is missing."
        ]

    def test_an_effect_of_a_step_that_is_done_is_refused(self, play: Play) -> None:
        play(
            [
                plan(PAY, LOOK),
                call("finish_step"),
                call("pay", account="acme", amount=40),
                say("It is 1240."),
                answer(DONE),
            ]
        )
        world.publish_agent(pattern="plan_execute", policy=[{"then": "allow"}])
        run = world.carry_on(world.start())
        assert refusals(run) == ["pay belongs to step 1 of the plan (Pay), which is done. It did not run."]
        assert tools.effects() == []

    def test_the_planner_is_told_what_is_left_and_optional_steps_are_dropped_when_it_is_short(
        self, play: Play
    ) -> None:
        looks = [call("get_balance", account=name) for name in ("acme", "globex")]
        model = play([plan(LOOK, NOTE, PAY), *looks, looks[0], say("No."), answer(DONE)])
        world.publish_agent(pattern="plan_execute", limits={"turns": 4, "repeats": 9})
        run = world.carry_on(world.start())
        assert run.status == "completed"
        assert "Left to use: 4 turns, 50,000 tokens" in model.requests[0].messages[-1].text
        dropped = run.steps.get(kind="steer").payload
        assert (dropped["action"], dropped["by"], dropped["numbers"]) == ("drop", "budget", [2])
        assert "25% of the budget is left" in dropped["why"]
        assert states(run) == ["done", "dropped", "pending"]


@pytest.mark.req("AGT-5")
class TestSuccess:
    SCHEMA = {
        "type": "object",
        "properties": {"balance": {"type": "number"}},
        "required": ["balance"],
        "additionalProperties": False,
    }

    def test_an_answer_that_fits_is_the_output(self, play: Play) -> None:
        model = play([call("get_balance", account="acme"), say('```json\n{"balance": 1240}\n```')])
        world.publish_agent()
        run = world.carry_on(world.start(success=self.SCHEMA))
        assert run.status == "completed"
        assert json.loads(run.output) == {"balance": 1240}
        assert len(model.requests) == 2
        assert '"balance"' in model.requests[0].messages[-1].text

    def test_one_that_does_not_is_put_into_form(self, play: Play) -> None:
        look = call("get_balance", account="acme")
        play([look, say("It is 1240 EUR."), answer({"balance": "1240"}), answer({"balance": 1240})])
        world.publish_agent()
        run = world.carry_on(world.start(success=self.SCHEMA))
        assert (run.status, json.loads(run.output)) == ("completed", {"balance": 1240})

    def test_one_that_can_not_is_handed_over(self, play: Play) -> None:
        play([say("I don't know."), *[answer({"balance": None})] * 3])
        world.publish_agent()
        run = world.carry_on(world.start(success=self.SCHEMA))
        assert run.status == "escalated"
        assert "no answer that fits what was asked" in run.reason

    def test_after_the_observer_and_before_the_end(self, play: Play) -> None:
        play(
            [
                plan(LOOK),
                call("get_balance", account="acme"),
                say("1240."),
                answer(DONE),
                answer({"balance": 1240}),
            ]
        )
        world.publish_agent(pattern="plan_execute")
        run = world.carry_on(world.start(success=self.SCHEMA))
        assert (run.status, json.loads(run.output)) == ("completed", {"balance": 1240})
        assert kinds(run) == ["plan", "model", "model", "observe", "model"]

    @pytest.mark.parametrize(
        "schema", [{"type": "array"}, {"type": "object", "properties": 3}, {}, {"type": "nonsense"}]
    )
    def test_a_schema_that_is_none_is_refused(self, schema: dict[str, Any]) -> None:
        world.publish_agent()
        with pytest.raises(BadInput, match="schema of success"):
            start_run(agent="teller", input="Pay.", success=schema)
        assert not Run.objects.exists()


@pytest.mark.req("AGT-7")
class TestFastPath:
    FAST = {"when": "Questions about a balance."}

    def triaged(self, *, simple: bool = True, confidence: float = 0.95, text: str = "") -> ModelResponse:
        return answer({"simple": simple, "confidence": confidence, "reason": "A balance.", "answer": text})

    def test_what_is_simple_costs_one_small_call(self, play: Play) -> None:
        model = play([self.triaged(text="We open at nine.")])
        world.publish_agent(pattern="plan_execute", fast_path=self.FAST)
        run = world.carry_on(world.start(input="When do you open?"))
        assert (run.status, run.output) == ("completed", "We open at nine.")
        assert payloads(run, "route")[0]["path"] == "fast"
        assert [request.metadata["role"] for request in model.requests] == ["router"]

    def test_or_looks_up_and_no_more(self, play: Play) -> None:
        model = play(
            [
                self.triaged(),
                together(call("get_balance", account="acme"), call("pay", account="acme", amount=5)),
                say("It is 1240."),
            ]
        )
        world.publish_agent(pattern="plan_execute", fast_path=self.FAST, policy=[{"then": "allow"}])
        run = world.carry_on(world.start(input="What is the balance of acme?"))
        assert (run.status, run.output) == ("completed", "It is 1240.")
        assert {request.metadata["role"] for request in model.requests} == {"router"}
        assert "pay" not in tool_names(model.requests[1])
        assert world.calls(run) == [("get_balance", "succeeded"), ("pay", "refused")]
        assert tools.effects() == []

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ([{"simple": False}], "A balance."),
            ([{"confidence": 0.7}], "only 70% sure"),
            (None, "no answer that fits"),
        ],
    )
    def test_all_else_is_planned(self, play: Play, said: Any, words: str) -> None:
        triage = [self.triaged(**said[0])] if said else [say("simple!")] * 3
        play([*triage, plan(LOOK), say("Nothing to do."), answer(DONE)])
        world.publish_agent(pattern="plan_execute", fast_path=self.FAST)
        run = world.carry_on(world.start())
        assert (run.status, kinds(run)) == ("completed", ["route", "plan", "model", "observe"])
        first = payloads(run, "route")[0]
        assert first["path"] == "full"
        assert words in first["reason"]

    def test_what_was_not_simple_after_all_is_planned(self, play: Play) -> None:
        play([self.triaged(), say(" "), plan(LOOK), say("Nothing to do."), answer(DONE)])
        world.publish_agent(pattern="plan_execute", fast_path=self.FAST)
        run = world.carry_on(world.start())
        assert (run.status, run.output) == ("completed", "Nothing to do.")

    def test_the_share_is_counted(self, play: Play) -> None:
        full = [self.triaged(simple=False), plan(LOOK), say("Nothing."), answer(DONE)]
        play([self.triaged(text="At nine."), *full, self.triaged(text="At nine.")])
        world.publish_agent(pattern="plan_execute", fast_path=self.FAST)
        for _ in range(3):
            world.carry_on(world.start())
        found = fast_path_share(agent="teller")
        assert (found.runs, found.fast, round(found.share, 2)) == (3, 2, 0.67)
        assert fast_path_share(agent="teller", since=timezone.now()).runs == 0
