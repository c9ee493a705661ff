"""Breakers of the whole system: what trips them, what they do to runs, and how they are lifted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.utils import timezone
from pytest_django import Settings

from agents import brakes
from agents.actions import cancel_run
from agents.models import Run
from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.scripted import say
from agents.runtime.recovery import sweep
from approvals.access import Actor
from approvals.exceptions import Missing, NotAllowed
from tests import world
from tests.integration.agents.conftest import Play
from tests.racing import Race, at_once
from tests.waiting import until
from traces.alerts import breakers
from traces.ids import new_id, new_span_id
from traces.models import Breaker, Event, Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("ALT-2")]


@pytest.fixture(autouse=True)
def unknown() -> Iterator[None]:
    """Nothing is known of the tests before, nor is anything left to those behind."""
    breakers._median_until.cache_clear()
    brakes.standing.forget()
    yield
    breakers._median_until.cache_clear()
    brakes.standing.forget()


def ended(count: int, status: str, *, minutes_ago: float = 5) -> None:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    runs = [world.start() for _ in range(count)]
    Run.objects.filter(pk__in=[run.pk for run in runs]).update(status=status, ended_at=at)


def spent(usd: float, at: datetime, **columns: object) -> None:
    values = {
        "trace_id": new_id().hex,
        "id": new_span_id(),
        "name": "chat",
        "operation": "chat",
        "run_id": new_id(),
        "started_at": at,
        "cost_usd": Decimal(str(usd)),
    }
    Span.objects.create(**(values | columns))


def test_too_many_escalated_runs_trip_a_breaker_once() -> None:
    world.publish_agent(rates={"user": 0})
    ended(15, "completed")
    ended(4, "escalated")
    brakes.check(now=timezone.now())
    assert not Breaker.objects.exists()  # too few to say anything
    ended(1, "completed")
    brakes.check(now=timezone.now())
    assert not Breaker.objects.exists()  # 20 % is the limit, not above it
    ended(1, "escalated")
    at_once(*[partial(brakes.check, now=timezone.now())] * 4)
    row = Breaker.objects.get()
    assert (row.name, row.limit, row.lifted_at) == ("escalation", 0.2, None)
    assert row.figure == pytest.approx(5 / 21)
    assert "24% of the 21 runs" in row.reason
    event = Event.objects.get(name="breaker.tripped")
    assert (event.object_id, event.data["figure"], event.data["limit"]) == ("escalation", row.figure, 0.2)


def test_runs_that_ended_earlier_do_not_count() -> None:
    world.publish_agent()
    ended(30, "escalated", minutes_ago=61)
    brakes.check(now=timezone.now())
    assert not Breaker.objects.exists()


def test_fewer_runs_work_at_a_time_while_it_stands(play: Play, settings: Settings) -> None:
    settings.REDUCED_RUNS = 2
    asked: list[ModelRequest] = []
    answered: list[bool] = []

    def slow(request: ModelRequest) -> ModelResponse:
        asked.append(request)
        until(lambda: answered, "the test lets the model answer")
        return say("Done.")

    play(slow)
    world.publish_agent()
    runs = [world.start() for _ in range(6)]
    _trip("escalation")
    races = [Race(partial(world.carry_on, run)) for run in runs]
    until(
        lambda: len(asked) == 2 and sum(race.is_over for race in races) == 4,
        "two work, four were turned away",
    )
    assert Run.objects.filter(status="running").count() == 2
    answered.append(True)
    for race in races:
        race.outcome()
    assert Run.objects.filter(status="queued").count() == 4
    assert sweep(now=timezone.now()) == 4  # nothing is lost
    brakes.lift("escalation", actor=world.operator(), now=timezone.now())
    at_once(*(partial(world.carry_on, run) for run in runs))
    assert set(Run.objects.values_list("status", flat=True)) == {"completed"}


def test_an_hour_that_costs_twice_the_usual_lets_no_new_run_begin(play: Play) -> None:
    play(lambda request: say("Done."))
    world.publish_agent()
    now = timezone.now()
    for hours in range(2, 30):
        spent(20, now - timedelta(hours=hours + 1))
    spent(39, now - timedelta(minutes=10))
    brakes.check(now=now)
    assert not Breaker.objects.exists()
    spent(2, now - timedelta(minutes=5))
    begun, new = world.start(), world.start()
    Run.objects.filter(pk=begun.pk).update(started_at=now)  # it waited for a retry, say
    brakes.check(now=now)
    row = Breaker.objects.get()
    assert (row.name, row.figure, row.limit) == ("cost", 41, 40)
    assert world.carry_on(new).status == "queued"
    assert world.carry_on(begun).status == "completed"
    later = world.start()  # taken in all the same
    assert sweep(now=timezone.now()) == 0
    cancel_run(run_id=later.pk, actor=world.operator())
    assert world.carry_on(later).status == "cancelled"
    brakes.lift("cost", actor=world.operator(), now=timezone.now())
    assert sweep(now=timezone.now()) == 1
    assert world.carry_on(new).status == "completed"


def test_a_quiet_system_may_have_a_busy_hour_and_play_money_costs_nothing() -> None:
    now = timezone.now()
    for hours in range(2, 30):
        spent(0.01, now - timedelta(hours=hours))
    spent(19, now - timedelta(minutes=10))
    spent(500, now - timedelta(minutes=10), simulated=True)
    spent(
        500, now - timedelta(minutes=10), run_id=None
    )  # another program's agent, which no brake of ours can slow
    brakes.check(now=now)
    assert not Breaker.objects.exists()
    spent(1.5, now - timedelta(minutes=10))
    brakes.check(now=now)
    assert Breaker.objects.get().limit == 20


def test_a_lifted_breaker_trips_again_only_where_the_figure_grows() -> None:
    now = timezone.now()
    spent(30, now - timedelta(minutes=1))
    brakes.check(now=now)
    spent(10, now - timedelta(minutes=1))
    brakes.check(now=now)
    assert Breaker.objects.get().figure == 40  # the highest while it stood
    brakes.lift("cost", actor=world.operator(), now=now)
    assert Event.objects.get(name="breaker.lifted").actor == "user:ana"
    brakes.check(now=now)
    assert not breakers.standing().exists()
    spent(5, now - timedelta(minutes=1))
    brakes.check(now=now)
    assert breakers.standing().get().figure == 45


def test_lifting_needs_a_role_and_a_breaker() -> None:
    _trip("cost")
    with pytest.raises(NotAllowed):
        brakes.lift("cost", actor=Actor(world.person("lena", "analyst")), now=timezone.now())
    with pytest.raises(Missing):
        brakes.lift("escalation", actor=world.operator(), now=timezone.now())
    outcomes = at_once(*[partial(brakes.lift, "cost", actor=world.operator(), now=timezone.now())] * 3)
    assert sorted(str(type(outcome).__name__) for outcome in outcomes) == ["Missing", "Missing", "NoneType"]
    assert Event.objects.filter(name="breaker.lifted").count() == 1


def _trip(name: str) -> None:
    Breaker.objects.create(name=name, reason="Too much.", figure=2, limit=1, tripped_at=timezone.now())
    brakes.standing.forget()
