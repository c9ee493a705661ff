"""What people do about a plan: approve or edit it first, retry, skip, or have all planned anew."""

from typing import Any

import pytest
from django.utils import timezone

from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.exceptions import BadInput, WrongState
from agents.models import Run, Steering
from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.scripted import answer, call, say, together
from agents.queries import plan_of
from agents.runtime.recovery import sweep
from agents.steering import steer_plan
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, Invalid, NotAllowed
from approvals.models import Approval
from tests import tools, world
from tests.integration.agents.conftest import Play
from tests.integration.agents.family import kinds, payloads

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-12")]

DONE = answer({"verdict": "complete", "confidence": 0.9, "summary": "Done.", "feedback": ""})
LOOK = {"title": "Look at the balance", "categories": ["lookup"]}
PAY = {"title": "Pay", "categories": ["mutation"]}
TELL = {"title": "Tell", "categories": []}


def plan(*steps: dict[str, Any]) -> ModelResponse:
    return answer({"goal": "Pay acme", "steps": list(steps), "needs_clarification": None})


def states(run: Run) -> list[str]:
    return [step.state for step in plan_of(run)]


def steer(run: Run, action: str, number: int | None = None) -> None:
    steer_plan(run_id=run.pk, actor=world.operator(), action=action, number=number)


def paying() -> ModelResponse:
    return call("pay", account="acme", amount=40)


def approve(run: Run, decision: str = "approve", **values: Any) -> None:
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision=decision, digest=request.digest, **values)


class TestSteering:
    @pytest.fixture
    def waiting(self, play: Play) -> Run:
        """A run at the second of three steps, which waits for a decision about a payment."""
        play([plan(LOOK, PAY, TELL), call("finish_step"), paying(), say("So."), DONE])
        world.publish_agent(pattern="plan_execute")
        run = world.carry_on(world.start())
        assert (run.status, states(run)) == ("waiting_approval", ["done", "current", "pending"])
        return run

    def test_a_step_is_skipped_while_the_run_waits_and_that_is_stored_once(self, waiting: Run) -> None:
        steer(waiting, "skip", 3)
        run = world.carry_on(waiting)
        assert (run.status, states(run)) == ("waiting_approval", ["done", "current", "skipped"])
        assert run.requested == ""
        assert world.carry_on(run).steps.filter(kind="steer").count() == 1
        stored = run.steps.get(kind="steer").payload
        assert (stored["action"], stored["by"], stored["numbers"]) == ("skip", "user:ana", [3])
        approve(run)
        run = world.carry_on(run)
        assert (run.status, states(run)) == ("completed", ["done", "done", "skipped"])
        assert len(tools.effects()) == 1

    @pytest.mark.req("APR-5")
    def test_what_a_skipped_step_asks_is_asked_no_more(self, waiting: Run) -> None:
        request = world.pending(waiting)
        steer(waiting, "skip", 2)
        request.refresh_from_db()
        assert request.status == "cancelled"
        with pytest.raises(AlreadyResolved):
            decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
        run = world.carry_on(waiting)
        assert (run.status, states(run)) == ("completed", ["done", "skipped", "done"])
        assert tools.effects() == []

    def test_a_step_that_is_done_is_done_again(self, waiting: Run) -> None:
        steer(waiting, "retry", 1)
        assert states(world.carry_on(waiting)) == ["current", "pending", "pending"]

    def test_all_is_planned_anew_with_what_was_done(self, play: Play) -> None:
        model = play(
            [plan(LOOK, PAY), together(call("get_balance", account="acme"), call("finish_step")), paying()]
        )
        world.publish_agent(pattern="plan_execute")
        run = world.carry_on(world.start())
        steer(run, "replan")
        run = world.carry_on(run)
        assert run.status == "waiting_approval"  # what a person was asked goes on
        approve(run, "reject", reason="Not now.")
        model = play([plan(TELL), say("Nothing paid."), DONE])
        run = world.carry_on(run)
        assert (run.status, states(run), run.output) == ("completed", ["done"], "Nothing paid.")
        assert any("Not now." in message.text for message in model.requests[0].messages)

    def test_a_lost_message_costs_time_only(self, waiting: Run) -> None:
        steer(waiting, "skip", 3)
        assert sweep(now=timezone.now()) == 1
        assert states(world.carry_on(waiting)) == ["done", "current", "skipped"]
        assert sweep(now=timezone.now()) == 0

    @pytest.mark.req("RUN-5")
    def test_a_crash_while_it_is_taken_in_changes_nothing(
        self, waiting: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steer(waiting, "skip", 3)
        steer(waiting, "retry", 1)

        def break_down(*args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError("a bug of ours")

        with monkeypatch.context() as patch:
            patch.setattr("agents.runtime.replanning.record", break_down)
            with pytest.raises(ZeroDivisionError):
                world.carry_on(waiting)
        assert Steering.objects.filter(taken_at=None).count() == 2
        run = world.carry_on(waiting)
        assert states(run) == ["current", "pending", "skipped"]
        assert run.steps.filter(kind="steer").count() == 2

    def test_what_comes_too_late_is_kept_and_says_so(self, play: Play) -> None:
        world.publish_agent(pattern="plan_execute")
        run = world.start()

        def late(request: ModelRequest) -> ModelResponse:
            if request.metadata["role"] == "planner":
                return plan(LOOK, PAY)
            if request.metadata["role"] == "observer":
                return DONE
            if not Steering.objects.exists():
                steer(run, "skip", 1)
                return call("finish_step")
            return say("So.")

        play(late)
        run = world.carry_on(run)
        assert run.status == "completed"
        stored = run.steps.get(kind="steer").payload
        assert (stored["applied"], stored["why"]) == (False, "Step 1 was done by then.")

    @pytest.mark.req("RUN-8")
    def test_to_pause_and_to_cancel_come_first(self, waiting: Run) -> None:
        steer(waiting, "skip", 3)
        pause_run(run_id=waiting.pk, actor=world.operator())
        run = world.carry_on(waiting)
        assert (run.status, states(run)[2]) == ("paused", "pending")
        resume_run(run_id=run.pk, actor=world.operator())
        run = world.carry_on(run)
        assert (run.status, states(run)[2]) == ("waiting_approval", "skipped")
        steer(run, "retry", 3)
        cancel_run(run_id=run.pk, actor=world.operator())
        assert world.carry_on(run).status == "cancelled"

    @pytest.mark.parametrize(
        ("action", "number", "error"),
        [
            ("skip", 1, WrongState),  # it is done
            ("retry", 3, WrongState),  # it is to come
            ("skip", 4, BadInput),
            ("skip", None, BadInput),
            ("burn", 1, BadInput),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, waiting: Run, action: str, number: int | None, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            steer(waiting, action, number)
        assert not Steering.objects.exists()

    def test_only_who_may_steer_the_run_may(self, waiting: Run) -> None:
        with pytest.raises(NotAllowed):
            steer_plan(
                run_id=waiting.pk, actor=Actor(user=world.person("eve", "analyst")), action="skip", number=3
            )

    def test_a_run_that_is_over_or_has_no_plan_is_not_steered(self, play: Play) -> None:
        play([say("Done.")])
        world.publish_agent()
        run = world.start()
        with pytest.raises(WrongState, match="no plan"):
            steer(run, "replan")
        with pytest.raises(WrongState, match="is completed"):
            steer(world.carry_on(run), "replan")


class TestApproval:
    @pytest.fixture
    def asked(self, play: Play) -> Run:
        play([plan(LOOK, PAY), say("So."), DONE])
        world.publish_agent(pattern="plan_execute", plan={"approve": True})
        run = world.carry_on(world.start())
        assert (run.status, run.reason) == ("waiting_approval", "A person must approve the plan.")
        return run

    def test_an_approved_plan_is_carried_out(self, asked: Run) -> None:
        request = world.pending(asked)
        assert (request.title, request.kind) == ("Carry out this plan: Pay acme", "action")
        approve(asked)
        run = world.carry_on(asked)
        assert (run.status, kinds(run)) == ("completed", ["plan", "plan", "model", "observe"])
        assert payloads(run, "plan")[-1]["approved_by"] == "ana"
        assert Approval.objects.count() == 1

    def test_a_plan_is_edited_and_what_was_edited_is_carried_out(self, asked: Run) -> None:
        edited = {"goal": "Only look", "steps": [LOOK], "needs_clarification": None}
        with pytest.raises(Invalid):
            approve(asked, "edit", arguments={**edited, "steps": [{"title": "Pay"}]})
        approve(asked, "edit", arguments=edited)
        run = world.carry_on(asked)
        stored = payloads(run, "plan")[-1]
        assert (stored["goal"], stored["edited"], states(run)) == ("Only look", True, ["done"])

    @pytest.mark.parametrize("how", ["rejected", "expired"])
    def test_one_that_is_not_approved_is_handed_over(self, asked: Run, how: str) -> None:
        if how == "rejected":
            approve(asked, "reject", reason="Too risky.")
        else:
            Approval.objects.update(expires_at=timezone.now())
            assert sweep(now=timezone.now()) == 1
        run = world.carry_on(asked)
        assert run.status == "escalated"
        assert run.reason in (
            "The plan was denied, so nothing of it was done.",
            "The plan was expired, so nothing of it was done.",
        )

    def test_it_is_not_steered_while_it_is_asked_about(self, asked: Run) -> None:
        with pytest.raises(WrongState, match="decide that instead"):
            steer(asked, "skip", 1)

    @pytest.mark.req("RUN-5")
    def test_the_sweeper_finds_a_decision_that_nobody_heard_of(self, asked: Run) -> None:
        assert sweep(now=timezone.now()) == 0
        approve(asked)
        assert sweep(now=timezone.now()) == 1
