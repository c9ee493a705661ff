"""Several workers, people and the clock at one run at the same moment: each step once, and nothing is lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents.actions import cancel_run, pause_run
from agents.decisions import decide
from agents.exceptions import WrongState
from agents.models import Run, Step, ToolCall
from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.routing import using
from agents.providers.scripted import Script, Scripted
from agents.runtime import claiming, ending, journal
from agents.runtime.loop import advance
from agents.tools.registry import load_tool
from agents.tools.spec import ToolContext
from approvals.exceptions import AlreadyResolved
from approvals.halts import halt, lift_halt
from approvals.models import Approval
from tests import tools, world
from tests.payment import play
from tests.racing import Race, at_once
from tests.waiting import until
from traces import recorder
from traces.models import Event, Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-1", "RUN-5")]

ALLOW = [{"effect": "irreversible", "then": "allow"}]


class Gate:
    """Holds the first who comes until it is opened; who comes later passes."""

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._reached, self._opened = threading.Event(), threading.Event()

    def hold(self) -> None:
        if self._first.acquire(blocking=False):
            self._reached.set()
            assert self._opened.wait(30)

    def wait_until_somebody_is_held(self) -> None:
        assert self._reached.wait(30)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    yield
    load_tool.cache_clear()


@pytest.fixture
def models() -> Iterator[Callable[[Script], None]]:
    """Have another script played."""
    with ExitStack() as stack:
        stack.enter_context(using(Scripted(play)))
        yield lambda script: stack.enter_context(using(Scripted(script)))


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def publish(tool: str = "pay", **changes: Any) -> None:
    """The agent `teller`, which pays once by `tool`."""
    world.publish_agent(tools=[{"python": f"tests.tools.{tool}"}], **changes)


def approve(run: Run) -> None:
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)


def of(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def stored(run: Run) -> list[Any]:
    """All that is stored of a run."""
    return [
        Run.objects.filter(pk=run.pk).values().get(),
        list(Step.objects.filter(run=run).order_by("seq").values()),
        list(ToolCall.objects.filter(run=run).order_by("pk").values()),
        list(Approval.objects.filter(run_id=run.pk).order_by("pk").values()),
        sorted(Span.objects.filter(run_id=run.pk).values_list("pk", "ended_at")),
        events(run),
    ]


def events(run: Run) -> list[str]:
    return list(Event.objects.filter(run_id=run.pk).order_by("pk").values_list("name", flat=True))


def let_lease_expire(run: Run) -> None:
    """As after a time in which its worker gave no sign of life."""
    held = Run.objects.filter(pk=run.pk, status="running")
    assert held.update(lease_until=timezone.now() - timedelta(seconds=1)) == 1


@pytest.mark.req("TOOL-4")
def test_six_workers_at_one_run_do_each_step_once(models: Any) -> None:
    publish()
    for number in range(1, 16):
        run = world.start()
        assert at_once(*[partial(advance, run.pk)] * 6) == [None] * 6
        assert of(run).status == "waiting_approval"
        approve(run)
        assert at_once(*[partial(advance, run.pk)] * 6) == [None] * 6
        assert of(run).status == "completed"
        assert len(tools.effects()) == number
        names = events(run)
        assert names.count("step.taken") == 2
        assert names.count("approval.requested") == names.count("tool_call.claimed") == 1
        assert names.count("run.completed") == 1
        assert Span.objects.filter(run_id=run.pk, operation="chat").count() == 2


def test_a_worker_that_lost_the_run_in_a_model_call_writes_nothing(models: Any, gate: Gate) -> None:
    def slow(request: ModelRequest) -> ModelResponse:
        gate.hold()
        return play(request)

    models(slow)
    publish()
    run = world.start()
    stale = Race(partial(advance, run.pk))
    gate.wait_until_somebody_is_held()
    let_lease_expire(run)
    advance(run.pk)
    before = stored(run)
    assert before[0]["status"] == "waiting_approval"
    gate.open()
    assert stale.outcome() is None
    assert stored(run) == before


def test_a_worker_that_lost_the_run_writes_nothing_beside_its_successor(models: Any) -> None:
    gates = [Gate(), Gate()]
    came = iter(gates)

    def slow(request: ModelRequest) -> ModelResponse:
        if (gate := next(came, None)) is not None:
            gate.hold()
        return play(request)

    models(slow)
    publish()
    run = world.start()
    stale = Race(partial(advance, run.pk))
    gates[0].wait_until_somebody_is_held()
    let_lease_expire(run)
    successor = Race(partial(advance, run.pk))
    gates[1].wait_until_somebody_is_held()
    before = stored(run)
    assert before[0]["status"] == "running"
    gates[0].open()
    assert stale.outcome() is None
    assert stored(run) == before
    gates[1].open()
    assert successor.outcome() is None
    assert of(run).status == "waiting_approval"
    assert Step.objects.filter(run=run).count() == 1


@pytest.mark.req("TOOL-4")
@pytest.mark.parametrize("done", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("tool", ["pay", "pay_once"])
def test_a_worker_that_lost_the_run_in_an_effect_only_tells_late(
    models: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch, tool: str, done: bool
) -> None:
    real = getattr(tools, tool)

    def held(context: ToolContext, arguments: dict[str, Any]) -> Any:
        if not done:
            gate.hold()
        result = real.run(context, arguments)
        gate.hold()
        return result

    load_tool.cache_clear()
    monkeypatch.setattr(tools, tool, replace(real, run=held))
    publish(tool)
    run = world.carry_on(world.start())
    approve(run)
    stale = Race(partial(advance, run.pk))
    gate.wait_until_somebody_is_held()
    let_lease_expire(run)
    advance(run.pk)
    before = stored(run)
    gate.open()
    assert stale.outcome() is None
    after = stored(run)
    assert after[:-1] == before[:-1]
    assert after[-1] == [*before[-1], "tool_call.reported_late"]
    payment = ToolCall.objects.get(run=run)
    assert tools.effects() == [f"{tool} {payment.pk} acme 40.0"]
    if tool == "pay_once":
        assert (of(run).status, payment.status, payment.attempts) == ("completed", "succeeded", 2)
        return
    assert (of(run).status, payment.status) == ("waiting_approval", "unknown")
    request = world.pending(run)
    assert request.kind == "reconcile"
    happened = {"outcome": "happened"}
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer=happened,
    )
    assert world.carry_on(run).status == "completed"
    assert len(tools.effects()) == 1


@pytest.mark.req("APR-4")
def test_a_decision_at_the_moment_of_suspension_is_never_lost(models: Any) -> None:
    publish()
    for _ in range(25):
        run = world.start()
        worker = Race(partial(advance, run.pk))
        asked = until(Approval.objects.filter(run_id=run.pk).first, "it asks")
        decide(approval_id=asked.pk, actor=world.operator(), decision="approve", digest=asked.digest)
        advance(run.pk)  # the message that follows the commit
        assert worker.outcome() is None
        assert of(run).status == "completed"  # nobody swept


@pytest.mark.req("APR-4")
def test_a_decision_just_before_the_run_would_wait(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ending.wait

    def late(stretch: Any, action: Any) -> None:
        journal.write(stretch.run)  # as where another call kept the run at work since it asked
        approve(stretch.run)
        real(stretch, action)

    monkeypatch.setattr(ending, "wait", late)
    publish()
    run = world.carry_on(world.start())
    assert run.status == "completed"
    assert "run.suspended" not in events(run)


@pytest.mark.req("APR-4")
def test_a_decision_while_the_suspension_is_committed(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, wait, decisions = recorder.record, ending.wait, []

    def asked_before(stretch: Any, action: Any) -> None:
        journal.write(stretch.run)
        wait(stretch, action)

    def record(name: str, **values: Any) -> Any:
        if name == "run.suspended":
            decisions.append(Race(partial(approve, run)))
            until(lambda: decisions[0].is_over or blocked(), "the decision waits for the commit")
            assert not decisions[0].is_over
        return real(name, **values)

    monkeypatch.setattr(ending, "wait", asked_before)
    monkeypatch.setattr(ending, "record", record)
    publish()
    run = world.start()
    advance(run.pk)
    assert of(run).status == "waiting_approval"
    assert decisions[0].outcome() is None
    advance(run.pk)
    assert of(run).status == "completed"


def blocked() -> bool:
    """Whether some connection waits for another's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return cursor.fetchone() is not None


def test_a_run_is_cancelled_while_a_call_is_claimed(models: Any) -> None:
    publish()
    endings = set()
    for _ in range(30):
        run = world.carry_on(world.start())
        approve(run)
        before = len(tools.effects())
        at_once(partial(advance, run.pk), partial(cancel_run, run_id=run.pk, actor=world.operator()))
        advance(run.pk)
        ended, payment = of(run), ToolCall.objects.get(run=run)
        endings.add(ended.status)
        assert ended.is_final
        assert (len(tools.effects()) - before, payment.status) in [(0, "cancelled"), (1, "succeeded")]
    assert endings <= {"cancelled", "completed"}


def test_nothing_is_claimed_once_the_run_was_asked_to_end(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journal.entry

    def late(run: Run, label: str, **values: Any) -> Any:
        if label == "claim":
            cancel_run(run_id=run.pk, actor=world.operator())
        return real(run, label, **values)

    monkeypatch.setattr(claiming, "entry", late)
    publish(policy=ALLOW)
    run = world.carry_on(world.start())
    assert run.status == "cancelled"
    assert tools.effects() == []
    assert "tool_call.claimed" not in events(run)


def test_a_cancel_while_the_run_pauses_is_not_lost(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ending.pause

    def late(stretch: Any) -> None:
        monkeypatch.setattr(ending, "pause", real)
        cancel_run(run_id=stretch.run.pk, actor=world.operator())
        real(stretch)

    monkeypatch.setattr(ending, "pause", late)
    publish()
    run = world.start()
    pause_run(run_id=run.pk, actor=world.operator())
    assert world.carry_on(run).status == "cancelled"


@pytest.mark.req("APR-4")
def test_a_run_is_cancelled_while_its_call_is_approved(models: Any) -> None:
    publish()
    for _ in range(30):
        run = world.carry_on(world.start())
        request, before = world.pending(run), len(tools.effects())

        def approved(run: Run = run, request: Approval = request) -> None:
            decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
            advance(run.pk)

        def cancelled(run: Run = run) -> None:
            cancel_run(run_id=run.pk, actor=world.operator("ben"))
            advance(run.pk)

        results = at_once(approved, cancelled)
        assert all(
            result is None or isinstance(result, AlreadyResolved | WrongState) for result in results
        ), results
        advance(run.pk)
        payment = ToolCall.objects.get(run=run)
        assert of(run).is_final
        assert (len(tools.effects()) - before, payment.status) in [(0, "cancelled"), (1, "succeeded")]


@pytest.mark.req("APR-11")
def test_a_halt_waits_for_the_claim_that_did_not_see_it(
    models: Any, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = journal.entry

    @contextmanager
    def late(run: Run, label: str, **values: Any) -> Any:
        with transaction.atomic():
            with real(run, label, **values) as seen:
                yield seen
            gate.hold()  # claimed, and not committed

    monkeypatch.setattr(claiming, "entry", late)
    publish(policy=ALLOW)
    first, second = world.start(), world.start()
    worker = Race(partial(advance, first.pk))
    gate.wait_until_somebody_is_held()
    pressed = Race(partial(halt, actor=world.operator(), now=timezone.now()))
    until(lambda: pressed.is_over or blocked(), "the halt waits for the claim")
    claimed_when_it_returned = "tool_call.claimed" in events(first)
    if not pressed.is_over:
        gate.open()
        assert not isinstance(pressed.outcome(), Exception)
        claimed_when_it_returned = "tool_call.claimed" in events(first)
    gate.open()
    assert worker.outcome() is None
    assert claimed_when_it_returned
    advance(second.pk)
    assert (of(second).status, len(tools.effects())) == ("waiting_retry", 1)


@pytest.mark.req("APR-11")
def test_nothing_is_claimed_after_a_halt_under_load(models: Any) -> None:
    publish(policy=ALLOW)
    for _ in range(5):
        runs = [world.start() for _ in range(8)]
        workers = [Race(partial(advance, run.pk)) for run in runs]
        taken = Event.objects.filter(run_id__in=[run.pk for run in runs], name="step.taken")
        until(taken.exists, "they work")
        halt(actor=world.operator(), now=timezone.now())
        claimed = Event.objects.filter(name="tool_call.claimed").count()
        assert [worker.outcome() for worker in workers] == [None] * 8
        assert Event.objects.filter(name="tool_call.claimed").count() == claimed == len(tools.effects())
        lift_halt(actor=world.operator(), now=timezone.now())
        for run in runs:
            advance(run.pk)
            assert of(run).status == "completed"
    assert len(tools.effects()) == 40
