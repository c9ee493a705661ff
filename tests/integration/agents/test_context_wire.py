"""Prompts for a small window, over the wire of both providers."""

from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import StepKind
from agents.providers.routing import close_all
from agents.simulator.scripts import parse_scripts
from agents.simulator.server import SimulatorServer
from tests import world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-6")]


@pytest.fixture
def simulator(settings: Any) -> Iterator[SimulatorServer]:
    script = """
- name: pages
  when: {user: "Read the pages"}
  summariser: {text: "The pages say nothing but fox."}
  executor:
"""
    script += "".join(
        f'    - {{text: "I read.", calls: [{{name: read_page, arguments: {{number: {number}}}}}]}}\n'
        for number in range(12)
    )
    with SimulatorServer(parse_scripts(script, source="test")) as server:
        settings.SIMULATOR_URL = server.url
        settings.MODEL_ENDPOINTS = {}
        yield server
        close_all()


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_small_window_over_the_wire(simulator: SimulatorServer, provider: str) -> None:
    small = {"provider": provider, "model": "claude-haiku-4-5", "window": 3000, "max_tokens": 300}
    world.publish_agent(
        models={"executor": small},
        tools=[{"python": "tests.tools.read_page"}],
        limits={"turns": 12, "tokens": 10_000_000, "repeats": 100},
    )
    run = world.carry_on(world.start(input="Read the pages"))
    assert run.status == "limit_exceeded", run.reason
    summaries = [step.payload for step in run.steps.filter(kind=StepKind.SUMMARY)]
    assert len(summaries) >= 2
    assert {(summary["text"], summary["by"]) for summary in summaries} == {
        ("The pages say nothing but fox.", "summariser")
    }
    for step in run.steps.filter(kind=StepKind.MODEL):
        assert step.payload["context"]["tokens"] < 2700
        assert step.payload["context"]["counted"] > 0
