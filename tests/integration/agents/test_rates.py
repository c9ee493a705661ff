"""How many runs may begin within a minute."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from agents.actions import start_run
from agents.exceptions import RateLimited
from agents.models import Run
from approvals.access import Actor
from tests import world
from tests.racing import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("GRD-5")]


def start(**values: Any) -> Run:
    return start_run(**{"agent": "teller", "input": "Hello.", **values})


def age(seconds: float) -> None:
    """Let every run have begun so much earlier."""
    Run.objects.update(created_at=F("created_at") - timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("rates", "values", "others", "who"),
    [
        ({"agent": 3}, {}, {"agent": "other"}, "Agent teller"),
        ({"user": 3}, {"subject": {"customer": "c1"}}, {"subject": {"customer": "c2"}}, "This user"),
        ({"session": 3}, {"conversation": "a"}, {"conversation": "b"}, "Conversation 'a'"),
    ],
)
def test_each_may_begin_so_many_within_a_minute(
    rates: dict[str, int], values: dict[str, Any], others: dict[str, Any], who: str
) -> None:
    world.publish_agent(rates=rates)
    world.publish_agent("other", rates=rates)
    for _ in range(3):
        start(**values)
    with pytest.raises(RateLimited, match=f"{who} began 3 runs within a minute") as refused:
        start(**values)
    assert 55 <= refused.value.retry_after <= 60
    start(**others)
    age(40)
    with pytest.raises(RateLimited) as refused:
        start(**values)
    assert 15 <= refused.value.retry_after <= 20
    age(21)
    start(**values)
    assert Run.objects.count() == 5  # what was refused left nothing


def test_the_limit_is_exact_however_many_ask_at_once() -> None:
    world.publish_agent(rates={"user": 5, "agent": 7})
    asked = [partial(start, subject={"customer": "c1"})] * 8 + [
        partial(start, subject={"customer": "c2"})
    ] * 4
    outcomes = at_once(*asked)
    assert sum(isinstance(outcome, RateLimited) for outcome in outcomes) == 5
    assert Run.objects.count() == 7
    assert Run.objects.filter(subject={"customer": "c1"}).count() <= 5


def test_messages_to_a_going_run_count_for_the_session() -> None:
    world.publish_agent(rates={"session": 3}, conversations={"busy": "take_in"})
    for _ in range(3):
        start(conversation="a")
    with pytest.raises(RateLimited):
        start(conversation="a")
    assert Run.objects.count() == 1


def test_a_person_without_a_subject_is_the_user_and_a_program_is_none() -> None:
    world.publish_agent(rates={"user": 1})
    person, program = world.operator(), Actor(world.person("shop", "service"), via="token", role="service")
    start(actor=person)
    with pytest.raises(RateLimited, match="User ana"):
        start(actor=person)
    for _ in range(3):
        start(actor=program)


def test_a_user_is_counted_by_an_index() -> None:
    world.publish_agent()
    start(subject={"customer": "c1"})
    with connection.execute_wrapper(_explain) as _:
        start(subject={"customer": "c1"})
    assert any("run_subject" in plan for plan in PLANS), PLANS


PLANS: list[str] = []


def _explain(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
    if isinstance(sql, str) and "MD5" in sql and sql.startswith("SELECT"):
        with context["connection"].connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
            cursor.execute(f"EXPLAIN {sql}", params)
            PLANS.append("\n".join(row[0] for row in cursor.fetchall()))
            cursor.execute("RESET enable_seqscan")
    return execute(sql, params, many, context)
