"""Prices that an admin sets stand above the list, per bucket."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Price
from agents.providers.base import Usage
from agents.providers.pricing import cost_usd, forget_prices, list_price_usd
from agents.providers.scripted import say
from tests import world
from tests.integration.agents.conftest import Play
from traces.models import Event, Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("MOD-7")]
USAGE = Usage(input=1_000_000, cache_read=1_000_000, cache_write=1_000_000, output=1_000_000)
SET = {"input": "1.5", "cache_read": "0.25", "cache_write": "2", "output": "10"}


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    forget_prices()
    yield
    forget_prices()


def test_an_own_price_counts_each_bucket_apart_and_only_for_its_model() -> None:
    Price.objects.create(
        provider="openai", model="gpt-4o", **{name: Decimal(value) for name, value in SET.items()}
    )
    assert cost_usd("openai", "gpt-4o", USAGE) == Decimal("13.75")
    assert cost_usd("openai", "gpt-4o", Usage(cache_read=1000)) == Decimal("0.00025")
    assert cost_usd("openai", "gpt-4o-mini", USAGE) == list_price_usd("openai", "gpt-4o-mini", USAGE)


def test_prices_are_not_read_for_every_call() -> None:
    cost_usd("openai", "gpt-4o", USAGE)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for _ in range(100):
            cost_usd("openai", "gpt-4o", USAGE)
    assert len(queries) == 0


def test_a_run_costs_what_its_admin_says(play: Play) -> None:
    Price.objects.create(provider="scripted", model="test", input=10, cache_read=0, cache_write=0, output=0)
    play([say("Done.")])
    world.publish_agent()
    run = world.carry_on(world.start())
    assert run.cost_usd == Decimal("0.001")
    assert Span.objects.get(trace_id=run.trace_id, operation="chat").cost_usd == Decimal("0.001")


@pytest.mark.req("OPS-3")
def test_admins_set_prices_and_the_audit_log_says_who() -> None:
    client = Client()
    client.force_login(world.person("root", "admin"))
    form = {"provider": "openai", "model": "gpt-4o", **SET}
    refused = client.post("/admin/agents/price/add/", {**form, "output": "-1"})
    assert "below zero" in refused.content.decode()
    assert client.post("/admin/agents/price/add/", form).status_code == 302
    price = Price.objects.get()
    assert client.post(f"/admin/agents/price/{price.pk}/delete/", {"post": "yes"}).status_code == 302
    told = Event.objects.filter(name__startswith="price.").order_by("pk")
    assert [(event.name, event.actor, event.object_id) for event in told] == [
        ("price.set", "user:root", "openai:gpt-4o"),
        ("price.removed", "user:root", "openai:gpt-4o"),
    ]
    client.force_login(world.person("ana", "operator"))
    assert client.get("/admin/agents/price/").status_code == 302, "to the sign-in: it is for admins"
