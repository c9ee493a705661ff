"""A breaker on the pages and in the API, and what a limit of rates says there."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agents import brakes
from agents.models import Run
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Breaker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tripped() -> Breaker:
    row = Breaker.objects.create(
        name="cost",
        reason="Models cost USD 41.00 within an hour; the limit is USD 40.00, 2 times the usual hour.",
        figure=41,
        limit=40,
        tripped_at=timezone.now(),
    )
    brakes.standing.forget()
    return row


def browser(name: str, role: str, *, strict: bool = False) -> Client:
    client = Client(enforce_csrf_checks=strict)
    client.force_login(world.person(name, role))
    return client


@pytest.mark.req("ALT-2")
@pytest.mark.parametrize("page", ["/inbox", "/runs", "/traces", "/status"])
def test_every_page_says_that_a_breaker_stands_and_how_to_lift_it(tripped: Breaker, page: str) -> None:
    shown = browser("ana", "operator").get(page).content.decode()
    assert tripped.reason in shown
    assert "New runs wait." in shown
    assert 'action="/breakers/cost/lift"' in shown
    assert 'action="/breakers/cost/lift"' not in browser("lena", "analyst").get(page).content.decode()


@pytest.mark.req("ALT-2")
def test_the_button_lifts_it_with_its_token_only(tripped: Breaker) -> None:
    client = browser("ana", "operator", strict=True)
    assert client.post("/breakers/cost/lift").status_code == 403
    page = client.get("/inbox").content.decode()
    token = page.split("/breakers/cost/lift", 1)[1].split('value="', 1)[1].split('"', 1)[0]
    answer = client.post("/breakers/cost/lift", {"csrfmiddlewaretoken": token}, follow=True)
    assert "The breaker is lifted" in answer.content.decode()
    assert tripped.reason not in answer.content.decode()
    assert Breaker.objects.get().lifted_by == "user:ana"
    assert browser("ana", "operator").get("/breakers/cost/lift").status_code == 405


@pytest.mark.req("ALT-2")
def test_an_analyst_lifts_nothing(tripped: Breaker) -> None:
    assert browser("lena", "analyst").post("/breakers/cost/lift").status_code == 403
    Caller("lena2", "analyst").delete("/breakers/cost")
    assert Breaker.objects.get().lifted_at is None


@pytest.mark.req("ALT-2")
def test_a_program_lists_and_lifts_breakers(tripped: Breaker) -> None:
    operator, shop = Caller("ana", "operator"), Caller("shop", "service")
    listed = shop.get("/breakers")
    assert [(item["name"], item["figure"], item["limit"]) for item in listed["items"]] == [("cost", 41, 40)]
    assert listed["next"] is None
    shop.delete("/breakers/cost")
    assert shop.status == 403
    operator.delete("/breakers/cost")
    assert operator.status == 204
    operator.delete("/breakers/cost")
    assert operator.status == 404
    assert shop.get("/breakers")["items"] == []
    assert Breaker.objects.get().lifted_by == "token:ana"


@pytest.mark.req("GRD-5", "OPS-3")
def test_too_many_runs_are_answered_with_the_time_to_come_again() -> None:
    world.publish_agent(rates={"session": 1})
    shop = Caller("shop", "service")
    task = {"agent": "teller", "input": "Hello.", "conversation": "k", "subject": {"customer": "c1"}}
    shop.post("/runs", task, key="one")
    shop.post("/runs", task, key="one")
    assert shop.status == 201  # the same request again is no second run
    problem = shop.post("/runs", task, key="two")
    assert shop.status == 429
    assert problem["type"] == "urn:gatehouse:problem:rate_limited"
    assert 50 <= int(shop.headers["Retry-After"]) <= 60
    assert problem["retry_after"] == int(shop.headers["Retry-After"])
    assert Run.objects.count() == 1
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    shop.post("/runs", task, key="two")
    assert shop.status == 201


@pytest.mark.req("RUN-7", "OPS-3")
def test_a_conversation_of_somebody_else_is_a_conflict() -> None:
    world.publish_agent()
    shop = Caller("shop", "service")
    task = {"agent": "teller", "input": "Hello.", "conversation": "k", "subject": {"customer": "c1"}}
    first = shop.post("/runs", task)
    problem = shop.post("/runs", {**task, "subject": {"customer": "c2"}})
    assert (shop.status, problem["type"]) == (409, "urn:gatehouse:problem:other_subject")
    world.publish_agent(conversations={"busy": "take_in"})
    told = shop.post("/runs", {**task, "input": "And one more thing."})
    assert (shop.status, told["id"]) == (201, first["id"])
