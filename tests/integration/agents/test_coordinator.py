"""A coordinator hands out parts of its task; they are runs of their own, in parallel, on a part of its budget."""

from contextlib import contextmanager
from queue import Queue
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from agents.actions import cancel_run, pause_run, resume_run
from agents.decisions import decide
from agents.models import Run
from agents.providers.base import FailureKind, ModelFailure
from agents.providers.scripted import answer, call, say
from agents.runtime import children, delegating, ending, journal, leases
from agents.runtime.loop import advance
from agents.runtime.recovery import sweep
from approvals.halts import halt, lift_halt
from tests import tools, world
from tests.integration.agents.conftest import Play
from tests.integration.agents.family import (
    Answers,
    by_agent,
    carry_all_on,
    kinds,
    part,
    publish_coordinator,
    standing,
)
from tests.waiting import until
from traces.models import Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("AGT-3")]

BUDGETS = ("turns", "tokens", "cost_usd", "seconds")


@pytest.fixture(autouse=True)
def agents() -> None:
    world.publish_agent("books")
    world.publish_agent("bank")
    publish_coordinator("lead", "books", "bank")


def parts(*given: dict[str, Any]) -> Any:
    return answer({"parts": list(given)})


def whole(text: str = "All in all.", confidence: float = 0.9, **more: Any) -> Any:
    return answer({"answer": text, "conflicts": [], "confidence": confidence, **more})


BOTH = parts(part("books"), part("bank"))


def script(lead: list[Any], **others: list[Any]) -> Any:
    answers: Answers = {("lead", "executor"): lead}
    return by_agent(answers | {(name, "executor"): said for name, said in others.items()})


def test_parts_are_runs_of_their_own_and_what_they_used_is_counted_once(play: Play) -> None:
    model = play(script([BOTH, whole()], books=[say("12 invoices.")], bank=[say("11 payments.")]))
    run = world.carry_on(world.start("lead"))
    assert run.status == "waiting_runs"
    assert run.lease_until is None
    own = {name: getattr(run, name) for name in ("turns", "input_tokens", "output_tokens", "cost_usd")}
    below = list(Run.objects.filter(parent=run).order_by("part"))
    assert [child.status for child in below] == ["queued", "queued"]
    assert {child.trace_id for child in below} == {run.trace_id}
    roots = Span.objects.filter(pk__in=[child.root_span_id for child in below])
    assert {span.parent_id for span in roots} == {run.root_span_id}
    run = carry_all_on(run)
    assert (run.status, run.output, run.confidence) == ("completed", "All in all.", 0.9)
    assert kinds(run) == ["delegate", "gather", "model"]
    below = list(Run.objects.filter(parent=run))
    last = model.requests[-1]
    for name, before in own.items():
        aggregated = {"turns": 1, "input_tokens": 100}.get(name)
        grown = getattr(run, name) - before - sum(getattr(child, name) for child in below)
        assert aggregated is None or grown == aggregated
    assert [text for text in ("12 invoices.", "11 payments.") if any(text in m.text for m in last.messages)]
    assert run.taint_sources == ["input", "agent:books", "agent:bank"]


def test_the_sum_of_what_is_cut_is_never_more_than_what_was_left(play: Play) -> None:
    greedy = parts(part("books", 3.0), part("bank", 1.0), part("books", -1.0), part("bank", 1.0))
    play(script([greedy]))
    run = world.carry_on(world.start("lead"))
    given: list[Any] = list(Run.objects.filter(parent=run).values_list("budget", flat=True))
    assert len(given) == 4
    left = {"turns": 40 - run.turns, "tokens": 40_000 - run.total_tokens, "cost_usd": 2.0, "seconds": 120}
    for name in BUDGETS:
        assert sum(budget[name] for budget in given) <= left[name]
    assert all(budget["turns"] >= 1 for budget in given)


def test_a_part_ends_where_its_budget_ends(play: Play) -> None:
    publish_coordinator("lead", "books", limits={"turns": 4})
    look = call("get_balance", account="acme")
    again = [call("get_balance", account="acme"), call("get_balance", account="globex")] * 3
    play(script([parts(part("books", 1.0)), whole()], books=[look, *again]))
    run = carry_all_on(world.start("lead"))
    child = Run.objects.get(parent=run)
    assert child.budget
    assert child.budget["turns"] == child.turns == 2
    assert child.status == "limit_exceeded"
    assert run.status == "escalated"
    assert "books: limit_exceeded. The run used up its 2 turns" in run.output


def test_too_little_for_the_parts_ends_the_run(play: Play) -> None:
    publish_coordinator("lead", "books", "bank", limits={"turns": 3})
    play(script([BOTH]))
    run = carry_all_on(world.start("lead"))
    assert (run.status, run.reason) == (
        "limit_exceeded",
        "What is left of its budget is too little for 2 parts.",
    )
    assert not Run.objects.filter(parent=run).exists()


def test_one_part_that_fails_and_one_that_waits_do_not_sink_the_others(play: Play) -> None:
    publish_coordinator("lead", "books", "bank", "till")
    world.publish_agent("till")
    failing = ModelFailure(FailureKind.INVALID_REQUEST, "no such model")
    play(
        script(
            [parts(part("books", 0.3), part("bank", 0.3), part("till", 0.3)), whole("Two of three.")],
            books=[failing],
            bank=[call("pay", account="acme", amount=40), say("Paid.")],
            till=[say("Counted.")],
        )
    )
    run = carry_all_on(world.start("lead"))
    assert run.status == "waiting_runs"
    below = dict(Run.objects.filter(parent=run).values_list("version__agent__name", "status"))
    assert below == {"books": "failed", "bank": "waiting_approval", "till": "completed"}
    request = world.pending(Run.objects.get(parent=run, part=2))
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = carry_all_on(run)
    assert run.status == "completed"
    assert run.output.startswith("Two of three.")
    assert "Parts that were not done:\n- books: failed. The model failed" in run.output
    assert len(tools.effects()) == 1


def test_contradictions_are_named(play: Play) -> None:
    conflict = "books says 12 invoices, bank says 11."
    play(
        script(
            [BOTH, answer({"answer": "Unclear.", "conflicts": [conflict], "confidence": 0.4})],
            books=[say("12.")],
            bank=[say("11.")],
        )
    )
    run = carry_all_on(world.start("lead"))
    assert (run.status, run.output) == ("escalated", f"Unclear.\n\nConflicts:\n- {conflict}")
    assert "confidence is 40%" in run.reason


def test_it_may_hand_out_parts_once_more_and_no_oftener(play: Play) -> None:
    more = whole("Not yet.", parts=[part("bank")])
    model = play(
        script(
            [parts(part("books")), more, more, more, whole()],
            books=[say("12 invoices.")],
            bank=[say("11 payments.")],
        )
    )
    run = carry_all_on(world.start("lead"))
    assert (run.status, run.output) == ("completed", "All in all.")
    assert kinds(run) == ["delegate", "gather", "delegate", "gather", "model"]
    assert list(Run.objects.filter(parent=run).order_by("part").values_list("part", flat=True)) == [1, 2]
    asked = [request for request in model.requests if request.output_schema]
    assert "parts" not in (asked[-1].output_schema or {})["properties"]


def test_coordinators_under_coordinators_end_at_the_depth_of_the_first(play: Play) -> None:
    publish_coordinator("low", "books", coordinator={"depth": 4})
    publish_coordinator("middle", "low", coordinator={"depth": 4})
    publish_coordinator("lead", "middle", coordinator={"depth": 2})
    play(
        script(
            [parts(part("middle", 1.0)), whole()],
            middle=[parts(part("low", 1.0)), whole()],
            low=[parts(part("books", 1.0))],
        )
    )
    run = carry_all_on(world.start("lead"))
    low = Run.objects.get(version__agent__name="low")
    assert (low.status, low.depth) == ("failed", 2)
    assert "no further coordinator" in low.reason
    assert run.status == "escalated"
    assert low.trace_id == run.trace_id


@pytest.mark.req("RUN-8")
def test_cancel_reaches_the_parts_and_ends_when_none_has_a_call_in_doubt(play: Play) -> None:
    play(script([BOTH], books=[call("lose_reply")], bank=[call("pay", account="acme", amount=40)]))
    world.publish_agent("books", policy=[{"then": "allow"}])
    run = carry_all_on(world.start("lead"))
    cancel_run(run_id=run.pk, actor=world.operator())
    run = carry_all_on(run)
    below = list(Run.objects.filter(parent=run).order_by("part"))
    assert [child.status for child in below] == ["waiting_approval", "cancelled"]
    assert (run.status, run.reason) == ("waiting_runs", "It ends as soon as 1 run that it started did.")
    assert sweep(now=timezone.now()) == 0  # there is nothing to do but to wait for a person
    request = world.pending(below[0])
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"outcome": "happened"},
    )
    run = carry_all_on(run)
    assert (run.status, run.reason) == ("cancelled", "A person cancelled it.")


@pytest.mark.req("RUN-8")
def test_pause_and_resume_reach_the_parts(play: Play) -> None:
    play(script([BOTH, whole()], books=[say("12.")], bank=[say("12.")]))
    run = world.carry_on(world.start("lead"))
    pause_run(run_id=run.pk, actor=world.operator())
    run = carry_all_on(run)
    assert {status for _, status, _ in standing(run)} == {"paused"}
    resume_run(run_id=run.pk, actor=world.operator())
    assert carry_all_on(run).status == "completed"


@pytest.mark.req("APR-11")
def test_a_stop_of_the_coordinator_holds_its_parts(play: Play) -> None:
    play(script([BOTH, whole()], books=[say("12.")], bank=[say("12.")]))
    run = world.carry_on(world.start("lead"))
    halt(actor=world.operator(), agent="lead", reason="odd", now=timezone.now())
    for child in map(world.carry_on, Run.objects.filter(parent=run)):
        assert child.status == "waiting_retry"
        assert "odd" in child.reason
    lift_halt(actor=world.operator(), agent="lead", now=timezone.now())
    assert carry_all_on(run).status == "completed"


@pytest.mark.req("RUN-5")
def test_the_sweeper_finds_a_run_whose_parts_are_over(play: Play) -> None:
    play(script([BOTH, whole()], books=[say("12.")], bank=[say("12.")]))
    run = world.carry_on(world.start("lead"))
    assert sweep(now=timezone.now()) == 2  # the parts
    for child in Run.objects.filter(parent=run):
        world.carry_on(child)
    assert sweep(now=timezone.now()) == 1
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("RUN-5")
def test_a_part_that_ends_while_its_run_begins_to_wait_is_not_missed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(script([BOTH, whole()], books=[say("12.")], bank=[say("12.")]))
    run = world.start("lead")
    checked = children.is_stale

    def end_first(stretch: Any) -> bool:
        monkeypatch.setattr("agents.runtime.ending.is_stale", checked)
        other = Thread(target=end_parts, args=(stretch.run.pk,))
        other.start()
        other.join()
        return checked(stretch)

    def end_parts(run_id: UUID) -> None:
        below = Run.objects.filter(parent=run_id)
        below.update(status="completed", output="12.", ended_at=timezone.now())
        connection.close()

    monkeypatch.setattr("agents.runtime.ending.is_stale", end_first)
    assert world.carry_on(run).status == "completed"


@pytest.mark.req("RUN-5")
@pytest.mark.parametrize("label", ["delegate", "wait", "gather", "aggregate", "finish"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_crash_at_any_step_starts_each_part_once_and_counts_it_once(
    play: Play, monkeypatch: pytest.MonkeyPatch, label: str, moment: str
) -> None:
    twice = (
        [BOTH, BOTH, whole(), whole()]
        if (label, moment) == ("delegate", "before")
        else [BOTH, whole(), whole()]
    )
    play(script(twice, books=[say("12.")], bank=[say("12.")]))
    run = world.start("lead")
    crash(monkeypatch, run, label, moment)
    while True:
        try:
            ended = carry_all_on(run)
            break
        except Killed:
            held = Run.objects.filter(pk=run.pk, status="running")
            held.update(lease_until=timezone.now())  # its worker is gone
    assert ended.status == "completed"
    assert kinds(ended) == ["delegate", "gather", "model"]
    below = list(Run.objects.filter(parent=ended))
    assert len(below) == 2
    assert ended.turns == 2 + sum(child.turns for child in below)
    assert ended.input_tokens == 200 + sum(child.input_tokens for child in below)


@pytest.mark.req("RUN-5")
def test_parts_that_end_at_the_same_moment_wake_their_run_once_and_for_all(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    six = parts(*[part("books", 0.1) for _ in range(6)])
    publish_coordinator("lead", "books", coordinator={"fan_out": 6})
    play(script([six, whole()], books=[say("12.")] * 6))
    woken: Queue[UUID] = Queue()  # a broker that loses nothing, with four workers
    monkeypatch.setattr("agents.runtime.children.wake", woken.put)
    monkeypatch.setattr("agents.runtime.ending.wake", woken.put)
    monkeypatch.setattr("agents.intake.wake", woken.put)

    def work() -> None:
        while (run_id := woken.get()) != nobody:
            advance(run_id)
        connection.close()

    nobody = UUID(int=0)
    run = world.start("lead")
    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        until(lambda: Run.objects.filter(pk=run.pk, status="completed").exists(), "the end of the run")
    finally:
        for _ in workers:
            woken.put(nobody)
        for worker in workers:
            worker.join()
    run.refresh_from_db()
    assert kinds(run) == ["delegate", "gather", "model"]
    assert run.turns == 2 + 6


class Killed(BaseException):
    """The worker died here."""


def crash(monkeypatch: pytest.MonkeyPatch, run: Run, label: str, moment: str) -> None:
    """Have the worker of `run` die once, right before or after the commit of the step `label`."""
    real, armed = journal.entry, [True]

    @contextmanager
    def dying(entered: Run, name: str, **values: Any) -> Any:
        hit = armed[0] and entered.pk == run.pk and name == label
        if hit and moment == "before":
            armed[0] = False
            raise Killed
        with real(entered, name, **values) as found:
            yield found
        if hit:
            armed[0] = False
            raise Killed

    monkeypatch.setattr(leases, "give_back", lambda run: None)
    for module in (children, delegating, ending):
        monkeypatch.setattr(module, "entry", dying)
