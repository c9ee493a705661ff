"""What Prometheus reads."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from agents.models import Run
from approvals.access import Actor
from approvals.halts import halt
from approvals.models import Approval
from approvals.programs import ask_for_program
from console.people.tokens import make_token
from tests import world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("OPS-4")]


def bearer(role: str = "analyst", scopes: tuple[str, ...] = ("read",)) -> dict[str, str]:
    token = make_token(user=world.person(f"of {role}", role), role=role, scopes=scopes, now=timezone.now())
    return {"authorization": f"Bearer {token}"}


def scrape(client: Client, role: str = "analyst", scopes: tuple[str, ...] = ("read",)) -> tuple[int, str]:
    answer = client.get("/metrics", headers=bearer(role, scopes))
    return answer.status_code, answer.content.decode()


def test_the_gauges_are_what_is_stored_and_name_nobody(client: Client) -> None:
    world.publish_agent(name="shy")
    run = world.start("shy")
    asked = ask_for_program(
        actor=Actor(world.person("shop", "service")),
        tool="pay_secretly",
        arguments={"amount": 40},
        effect="irreversible",
        expires_in=900,
        now=timezone.now(),
    )
    Approval.objects.filter(pk=asked.pk).update(requested_at=timezone.now() - timedelta(hours=1))
    halt(actor=world.operator(), now=timezone.now(), agent="shy", reason="Odd things.")

    status, text = scrape(client)

    assert status == 200
    samples = {
        (sample.name.removeprefix("gatehouse_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples[("runs_open", run.status)] == Run.objects.filter(ended_at=None).count() == 1
    assert samples[("approvals_pending", "action")] == 1
    assert 3600 <= samples[("approvals_oldest_seconds", "action")] < 7200
    assert samples[("halts_standing",)] == 1
    assert samples[("events_unsealed",)] > 0
    assert (
        samples[("breakers_open",)] == samples[("deliveries_dead",)] == samples[("cost_usd_last_hour",)] == 0
    )
    assert not any(word in text for word in ("shy", "shop", "pay_secretly", "Odd"))


@pytest.mark.parametrize(("role", "scopes"), [("service", ("read",)), ("admin", ("run",))])
def test_a_program_or_a_token_that_may_not_read_is_refused(
    client: Client, role: str, scopes: tuple[str, ...]
) -> None:
    status, text = scrape(client, role, scopes)
    assert status == 403
    assert "gatehouse_" not in text


@pytest.mark.parametrize("header", ["", "Bearer gth_nonsense", "Basic Zm9v"])
def test_who_sends_no_good_token_is_told_how(client: Client, header: str) -> None:
    answer = client.get("/metrics", headers={"authorization": header} if header else {})
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="gatehouse"')


def test_scrapes_count_among_the_requests_of_a_token(client: Client, settings: Any) -> None:
    settings.API_RATE = 0
    status, text = scrape(client)
    assert (status, "gatehouse_" in text) == (429, False)


def test_a_database_that_is_away_is_said_to_be_away(client: Client) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("the server closed the connection")

    sent = bearer()
    with connection.execute_wrapper(away):
        answer = client.get("/metrics", headers=sent)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert answer.content.decode() == "The database does not answer.\n"
