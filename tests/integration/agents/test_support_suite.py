"""The suite that ships with the support example, played by its script through the real loop."""

import json

import pytest
import yaml
from django.utils import timezone

from agents.actions import publish
from agents.evals.suites import collect, comparison_of, start_suite
from agents.examples.seed import SUPPORT, seed_examples
from agents.examples.support.models import CrmNote, LedgerEntry, Order
from agents.models import Run, Suite
from agents.providers.routing import using
from tests import world
from tests.integration.agents.test_support_tickets import Player


@pytest.mark.req("EVL-1", "AGT-6")
@pytest.mark.django_db(transaction=True)
def test_the_suite_of_the_example_is_green_and_touches_nothing_of_the_shop() -> None:
    seed_examples()
    config = yaml.safe_load((SUPPORT / "support.yaml").read_text(encoding="utf-8"))
    publish(name=config.pop("agent"), config=config | {"models": {"executor": "scripted:test"}}, actor=None)
    kept = [model._default_manager.count() for model in (LedgerEntry, CrmNote, Order)]
    suite = Suite.objects.get()
    begun = start_suite(suite.name, actor=None, now=timezone.now())
    with using(Player()):
        for run in Run.objects.filter(case_result__suite_run=begun):
            world.carry_on(run)
    done = collect(begun.pk, now=timezone.now())
    told = {result.name: result.findings for result in done.results.all()}
    assert done.ended_at is not None, Run.objects.filter(rehearsal=True).values_list("status", "reason")
    assert not any(told.values()), json.dumps(told, indent=1)
    assert len(told) == 8
    assert comparison_of(done).regressions == ()
    assert [model._default_manager.count() for model in (LedgerEntry, CrmNote, Order)] == kept
