"""Batches: each row is one run, however often and by whomever they are carried on, and together they keep a budget."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from agents import batches
from agents.batch_progress import advance, advance_all, progress_of
from agents.batch_results import as_csv, as_jsonl
from agents.batches import create_batch
from agents.exceptions import BadInput, MissingRun, WrongState
from agents.intake import queue_run
from agents.models import Batch, BatchRow, Run
from agents.providers.scripted import say
from agents.tables import table_of
from approvals.access import Actor
from approvals.exceptions import NotAllowed
from approvals.halts import halt, lift_halt
from tests import world
from tests.integration.agents.conftest import Play
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-11")]


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test carries its batch on itself."""
    monkeypatch.setattr(batches, "wake_batches", lambda: None)


def batch_of(size: int, **values: Any) -> Batch:
    table = table_of([{"order": f"O-{number}"} for number in range(1, size + 1)])
    usual = {"agent": "teller", "task": "Check {order}.", "actor": world.operator()}
    return create_batch(table=table, **{**usual, **values})


def go_on(batch: Batch) -> Batch:
    """As the clock has it done."""
    advance_all(now=timezone.now())
    return Batch.objects.get(pk=batch.pk)


def open_runs(batch: Batch) -> list[Run]:
    return list(Run.objects.filter(batch_row__batch=batch, ended_at=None).order_by("batch_row__line"))


def carry_on(batch: Batch) -> Batch:
    """Start what may be started, and carry it to its end."""
    go_on(batch)
    for run in open_runs(batch):
        world.carry_on(run)
    return go_on(batch)


def test_rows_run_few_at_a_time_to_the_end(play: Play) -> None:
    play(lambda request: say("Done."))
    world.publish_agent()
    batch = batch_of(5, concurrency=2, name="orders.csv")
    batch = go_on(batch)
    assert [run.input for run in open_runs(batch)] == ["Check O-1.", "Check O-2."]
    assert go_on(batch).status == "running"
    assert len(open_runs(batch)) == 2
    run = open_runs(batch)[0]
    assert (run.taint_sources, run.metadata["line"], run.started_by) == (["input"], 1, world.operator().user)
    while batch.status == "running":
        batch = carry_on(batch)
    assert batch.status == "completed"
    assert batch.ended_at is not None
    assert progress_of(batch).by_status == {"completed": 5}
    told = [json.loads(line) for line in as_jsonl(batch, world.operator())]
    assert [(each["line"], each["input"], each["run_status"]) for each in told] == [
        (number, {"order": f"O-{number}"}, "completed") for number in range(1, 6)
    ]
    assert {each["run_output"] for each in told} == {"Done."}
    assert Run.objects.get(pk=told[4]["run_id"]).input == "Check O-5."
    names = Event.objects.filter(object_id=str(batch.pk)).order_by("pk").values_list("name", flat=True)
    assert list(names) == ["batch.started", "batch.completed"]


def test_no_row_is_lost_or_doubled_wherever_it_breaks_off(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(lambda request: say("Done."))
    world.publish_agent()
    batch = batch_of(6, concurrency=3)
    broken = iter(range(100))

    def break_off(**values: Any) -> Run:
        run = queue_run(**values)
        if next(broken) % 3 == 1:
            raise RuntimeError("the worker died")
        return run

    monkeypatch.setattr("agents.batch_progress.queue_run", break_off)
    with pytest.raises(RuntimeError):
        advance(batch.pk, now=timezone.now())
    assert not Run.objects.exists()  # nothing of it was committed, and no row says that it was started
    assert not BatchRow.objects.exclude(state="waiting").exists()
    monkeypatch.setattr("agents.batch_progress.queue_run", queue_run)

    def look(_: int) -> None:
        try:
            advance_all(now=timezone.now())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(8)))
    assert [run.input for run in open_runs(batch)] == ["Check O-1.", "Check O-2.", "Check O-3."]
    batch = carry_on(batch)
    while batch.status == "running":
        batch = carry_on(batch)
    inputs = Run.objects.order_by("batch_row__line").values_list("input", flat=True)
    assert list(inputs) == [f"Check O-{number}." for number in range(1, 7)]


def test_pause_resume_and_cancel(play: Play) -> None:
    play(lambda request: say("Done."))
    world.publish_agent()
    ana = world.operator()
    batch = go_on(batch_of(6, concurrency=2))
    batches.pause_batch(batch.pk, actor=ana)
    batch = carry_on(batch)
    assert (batch.status, progress_of(batch).waiting) == ("paused", 4)
    with pytest.raises(WrongState):
        batches.pause_batch(batch.pk, actor=ana)
    batches.resume_batch(batch.pk, actor=ana)
    batch = go_on(batch)
    assert len(open_runs(batch)) == 2
    batches.cancel_batch(batch.pk, actor=ana)
    batch = carry_on(batch)
    assert progress_of(batch).by_status == {"completed": 2, "cancelled": 2}
    assert (batch.status, progress_of(batch).waiting) == ("cancelled", 2)
    with pytest.raises(WrongState):
        batches.resume_batch(batch.pk, actor=ana)


def test_the_budget_is_for_all_rows_together(play: Play) -> None:
    play(lambda request: say("Done."))
    world.publish_agent(limits={"cost_usd": 2})
    batch = go_on(batch_of(9, budget_usd=Decimal(5)))
    assert [run.budget for run in open_runs(batch)] == [{"cost_usd": 2.0}] * 2  # no third is covered
    for run in open_runs(batch):
        world.carry_on(run)
        Run.objects.filter(pk=run.pk).update(cost_usd=2)
    batch = go_on(batch)
    (last,) = open_runs(batch)
    assert last.budget == {"cost_usd": 1.0}
    world.carry_on(last)
    Run.objects.filter(pk=last.pk).update(cost_usd=1)
    batch = go_on(batch)
    assert (batch.status, batch.reason) == ("paused", "The budget of USD 5.00 is used up.")
    assert progress_of(batch).cost_usd == 5
    batches.resume_batch(batch.pk, actor=world.operator(), budget_usd=Decimal(7))
    assert len(open_runs(go_on(batch))) == 1


def test_a_stop_holds_it_and_a_rate_slows_it(play: Play) -> None:
    play(lambda request: say("Done."))
    world.publish_agent(rates={"agent": 3, "user": 1})
    batch = batch_of(5)
    halt(actor=world.operator(), now=timezone.now(), agent="teller")
    assert not open_runs(go_on(batch))
    lift_halt(actor=world.operator(), now=timezone.now(), agent="teller")
    assert len(open_runs(go_on(batch))) == 3  # within this minute; a batch is no hurried user
    assert batch.rows.filter(state="waiting").count() == 2


def test_bad_rows_start_nothing_and_only_who_may_steers() -> None:
    world.publish_agent(guardrails={"input_max": 10})
    with pytest.raises(BadInput, match="Line 1: the task has 112"):
        batch_of(2, task="x" * 100)
    world.publish_gateway()
    with pytest.raises(BadInput, match="is a gateway"):
        batch_of(1, agent="door")
    for amount in ("0", "-1", "NaN"):
        with pytest.raises(BadInput, match="budget_usd"):
            batch_of(1, task="{order}", budget_usd=Decimal(amount))
    assert not Batch.objects.exists()
    with pytest.raises(NotAllowed):
        batch_of(1, task="{order}", actor=Actor(world.person("ines", "analyst")))
    shop, bank = (
        Actor(world.person(name, "service"), via="token", role="service") for name in ("shop", "bank")
    )
    mine = batch_of(1, task="{order}", actor=shop)
    with pytest.raises(MissingRun):
        batches.cancel_batch(mine.pk, actor=bank)
    assert batches.cancel_batch(mine.pk, actor=shop).status == "cancelled"


@pytest.fixture
def odd() -> Batch:
    world.publish_agent()
    rows = [
        {"a": value}
        for value in ('=HYPERLINK("http://evil")', " =1", "+1", "-5,5", "-x", "@SUM", "\t=1", "é")
    ]
    return create_batch(agent="teller", table=table_of(rows), task="Look.", actor=world.operator())


def test_no_cell_of_the_download_is_a_formula(odd: Batch) -> None:
    text = "".join(as_csv(odd, world.operator()))
    assert text.startswith("\ufeffline,a,run_id")
    cells = [row["a"] for row in csv.DictReader(io.StringIO(text[1:], newline=""))]
    assert cells == ['\'=HYPERLINK("http://evil")', "' =1", "+1", "-5,5", "'-x", "'@SUM", "'\t=1", "é"]
