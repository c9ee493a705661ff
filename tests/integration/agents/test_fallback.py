"""When a model can't answer: fallbacks over both wires, the breaker that workers share, and what a run does then."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from agents.models import Run, StepKind
from agents.providers import breaker
from agents.providers.base import FailureKind, Finish, ModelFailure, ModelResponse, Usage
from agents.providers.routing import close_all
from agents.providers.scripted import answer, say
from agents.simulator.faults import Fault, FaultKind
from agents.simulator.scripts import parse_scripts
from agents.simulator.server import SimulatorServer
from agents.valkey import valkey
from tests import tools, world
from tests.history import rewritable
from tests.integration.agents.conftest import Play
from traces.models import Event, Span, SpanBody
from traces.queries.one_trace import read_span
from traces.recorder import CONTINUES

pytestmark = pytest.mark.django_db(transaction=True)

SCRIPT = [
    {"text": "I look.", "calls": [{"name": "get_balance", "arguments": {"account": "acme"}}]},
    {"text": "All is well."},
]
OVERLOADED = ModelFailure(FailureKind.OVERLOADED, "overloaded")


@pytest.fixture
def simulators(settings: Any) -> Iterator[tuple[SimulatorServer, SimulatorServer]]:
    """Two endpoints: the first speaks as Anthropic, the second as OpenAI."""
    text = json.dumps([{"name": "played", "when": {"user": "owe"}, "executor": SCRIPT}])
    scripts = parse_scripts(text, source="test")
    with SimulatorServer(scripts) as first, SimulatorServer(scripts) as second:
        settings.MODEL_ENDPOINTS = {
            "anthropic": {"api_key": "", "base_url": first.url},
            "openai": {"api_key": "", "base_url": f"{second.url}/v1"},
        }
        yield first, second
        close_all()


def publish_chain(**config: Any) -> None:
    executor = {
        "provider": "anthropic",
        "model": "claude-haiku-4-5",
        "timeout": 5,
        "stall": 1,  # s; also what the second endpoint has for its first byte, on a busy machine
        "fallback": ["openai:gpt-4o"],
    }
    world.publish_agent(models={"executor": executor}, **config)


def attempts(run: Run) -> list[tuple[str, str]]:
    """Provider and error of each model call, in order."""
    spans = Span.objects.filter(trace_id=run.trace_id, operation="chat").order_by("started_at")
    return [(span.provider, span.error_type) for span in spans]


def let_time_pass(endpoint: str) -> None:
    """As if the time were over in which an endpoint is left alone."""
    valkey().delete(breaker._keys(endpoint)[1])


def later(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    return world.carry_on(run)


@pytest.mark.req("MOD-4")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(kind=FaultKind.OVERLOADED), "overloaded"),
        (Fault(kind=FaultKind.SERVER_ERROR), "overloaded"),
        (Fault(kind=FaultKind.RATE_LIMIT), "rate_limit"),
        (Fault(kind=FaultKind.RATE_LIMIT, retry_after=30), "rate_limit"),
        (Fault(kind=FaultKind.HANG, seconds=60), "timeout"),
        (Fault(kind=FaultKind.RESET), "connection"),
        (Fault(kind=FaultKind.UNAUTHORIZED), "authentication"),
        (Fault(kind=FaultKind.MALFORMED_JSON), "malformed"),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Fault) else None,
)
def test_the_next_endpoint_is_asked_at_once_in_its_own_format(
    simulators: tuple[SimulatorServer, SimulatorServer], fault: Fault, error: str
) -> None:
    simulators[0].misbehave(fault, count=2)
    publish_chain()
    run = world.carry_on(world.start())
    assert (run.status, run.output) == ("completed", "All is well.")
    assert attempts(run) == [("anthropic", error), ("openai", ""), ("anthropic", error), ("openai", "")]
    assert world.calls(run) == [("get_balance", "succeeded")]
    answered = Span.objects.filter(trace_id=run.trace_id, provider="openai").first()
    assert answered is not None
    assert answered.attributes["gatehouse.fallback"] == 1
    assert simulators[1].url.endswith(answered.attributes["server.address"])


@pytest.mark.req("RUN-6", "MOD-2")
def test_a_model_is_waited_for_no_longer_than_the_run_may_work(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.HANG, seconds=60), count=20)
    executor = {"provider": "anthropic", "model": "claude-haiku-4-5", "timeout": 30, "stall": 30}
    world.publish_agent(models={"executor": executor}, limits={"seconds": 1})
    for _ in range(breaker.FAILURES + 1):  # it says nothing about the endpoint
        run = world.carry_on(world.start())
        assert run.status == "limit_exceeded"
        assert run.reason == "The run used up its 1 s of work before the task was done."
        assert attempts(run) == [("anthropic", "timeout")]
        assert 1000 <= run.work_ms < 10_000
    assert not Event.objects.filter(name="breaker.opened").exists()


@pytest.mark.req("RUN-6", "MOD-4")
def test_with_little_time_left_a_model_that_stalls_is_still_replaced(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.HANG, seconds=60))
    executor = {
        "provider": "anthropic",
        "model": "claude-haiku-4-5",
        "timeout": 30,
        "stall": 0.5,
        "fallback": ["openai:gpt-4o"],
    }
    world.publish_agent(models={"executor": executor}, limits={"seconds": 20})
    run = world.carry_on(world.start())
    assert (run.status, run.output) == ("completed", "All is well.")
    assert attempts(run)[:2] == [("anthropic", "timeout"), ("openai", "")]


@pytest.mark.req("MOD-4")
def test_a_conversation_goes_from_one_provider_to_the_other_and_back(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.OVERLOADED))
    publish_chain()
    run = world.carry_on(world.start())
    assert run.status == "completed"
    assert attempts(run) == [("anthropic", "overloaded"), ("openai", ""), ("anthropic", "")]


@pytest.mark.req("MOD-3")
def test_a_short_retry_after_is_waited_for_once_rather_than_asking_another(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.RATE_LIMIT, retry_after=1), count=2)
    publish_chain()
    run = world.carry_on(world.start())
    assert (run.status, attempts(run)) == ("waiting_retry", [("anthropic", "rate_limit")])
    run = later(run)
    assert run.status == "completed"
    assert attempts(run)[1:] == [("anthropic", "rate_limit"), ("openai", ""), ("anthropic", "")]


@pytest.mark.req("MOD-4")
def test_a_request_that_is_invalid_in_itself_is_put_to_no_other(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.BAD_REQUEST))
    publish_chain()
    run = world.carry_on(world.start())
    assert (run.status, attempts(run)) == ("failed", [("anthropic", "invalid_request")])


@pytest.mark.req("MOD-3", "MOD-4")
def test_a_run_waits_only_when_no_endpoint_could_answer_and_says_why_of_each(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.OVERLOADED, retry_after=20))
    simulators[1].misbehave(Fault(kind=FaultKind.SERVER_ERROR))
    publish_chain()
    run = world.carry_on(world.start())
    assert run.status == "waiting_retry"
    assert run.reason == (
        "The model failed (anthropic answered 529: Simulated fault: overloaded; "
        "openai answered 500: Simulated fault: server_error); it is asked again in about 1 s."
    )
    assert later(run).status == "completed"


@pytest.mark.req("MOD-4")
@pytest.mark.parametrize(
    ("second", "status", "output"),
    [
        (None, "completed", "All is well."),
        (FaultKind.REFUSAL, "escalated", ""),
        (FaultKind.OVERLOADED, "escalated", ""),
    ],
)
def test_a_refusal_is_put_once_to_the_next_provider(
    simulators: tuple[SimulatorServer, SimulatorServer], second: FaultKind | None, status: str, output: str
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.REFUSAL), count=1 if second is None else 5)
    if second:
        simulators[1].misbehave(Fault(kind=second), count=5)
    publish_chain()
    run = world.carry_on(world.start())
    assert run.status == status
    if second is None:
        assert run.output == output
    else:
        assert run.reason == "The model declined to go on."
        assert [provider for provider, _ in attempts(run)] == ["anthropic", "openai"]


@pytest.mark.req("MOD-4")
def test_five_failures_open_the_breaker_for_all_and_one_probe_closes_it(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    simulators[0].misbehave(Fault(kind=FaultKind.OVERLOADED), count=5)
    publish_chain()
    for _ in range(2):
        run = world.carry_on(world.start())
    endpoint = f"anthropic:claude-haiku-4-5 at {simulators[0].url.removeprefix('http://')}"
    assert breaker.admit(endpoint, seconds=1).kind == "closed"
    run = world.carry_on(world.start())
    assert attempts(run) == [
        ("anthropic", "overloaded"),
        ("openai", ""),
        ("anthropic", "breaker_open"),
        ("openai", ""),
    ]
    opened = Event.objects.get(name="breaker.opened")
    assert opened.data["endpoint"] == endpoint
    assert 20 < breaker.admit(endpoint, seconds=1).wait <= 30
    let_time_pass(endpoint)
    assert breaker.admit(endpoint, seconds=1).kind == "probe"
    assert breaker.admit(endpoint, seconds=1).kind == "open", "one probe at a time"
    assert breaker.report(endpoint, breaker.Admission("probe"), None) == "closed"
    run = world.carry_on(world.start())
    assert attempts(run) == [("anthropic", ""), ("anthropic", "")]


@pytest.mark.req("MOD-4")
def test_a_run_that_finds_out_that_an_endpoint_is_well_says_so(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    endpoint = f"anthropic:claude-haiku-4-5 at {simulators[0].url.removeprefix('http://')}"
    for _ in range(5):
        told = breaker.report(endpoint, breaker.Admission("closed"), OVERLOADED)
    assert told == "opened"
    let_time_pass(endpoint)
    publish_chain()
    run = world.carry_on(world.start())
    assert attempts(run) == [("anthropic", ""), ("anthropic", "")]
    assert Event.objects.get(name="breaker.closed").data["endpoint"] == endpoint


@pytest.mark.req("MOD-4")
def test_a_probe_that_fails_or_dies_leaves_the_breaker_open() -> None:
    endpoint = "anthropic:m at probe.example"
    for _ in range(5):
        breaker.report(endpoint, breaker.Admission("closed"), OVERLOADED)
    let_time_pass(endpoint)
    probe = breaker.admit(endpoint, seconds=60)
    assert (probe.kind, breaker.report(endpoint, probe, OVERLOADED)) == ("probe", "")
    assert 20 < breaker.admit(endpoint, seconds=60).wait <= 30
    let_time_pass(endpoint)
    assert breaker.admit(endpoint, seconds=60).kind == "probe"
    assert 50 < breaker.admit(endpoint, seconds=60).wait <= 61, "it is given up with its call"
    assert breaker.report(endpoint, probe, ModelFailure(FailureKind.INVALID_REQUEST, "no")) == "closed"


@pytest.mark.req("MOD-4")
def test_failures_are_counted_within_a_minute_and_a_limit_with_a_time_is_none() -> None:
    endpoint = "anthropic:m at counting.example"
    limit = ModelFailure(FailureKind.RATE_LIMIT, "slow down", retry_after=1)
    for failure in [OVERLOADED] * 4 + [limit] * 4:
        assert breaker.report(endpoint, breaker.Admission("closed"), failure) == ""
    assert all(0 < int(valkey().ttl(key)) <= 60 for key in breaker._keys(endpoint) if valkey().exists(key))


@pytest.mark.req("MOD-4")
def test_without_valkey_the_breaker_stands_closed(settings: Any, tmp_path: Any) -> None:
    settings.VALKEY_URL = f"unix://{tmp_path}/nobody.sock"
    valkey.cache_clear()
    try:
        for _ in range(6):
            assert breaker.report("e", breaker.Admission("closed"), OVERLOADED) == ""
        assert breaker.admit("e", seconds=1).kind == "closed"
    finally:
        valkey.cache_clear()


def fail_four_times() -> Run:
    run = world.carry_on(world.start())
    for _ in range(3):
        assert run.status == "waiting_retry"
        run = later(run)
    return run


@pytest.mark.req("MOD-4")
def test_degraded_to_a_fixed_reply_completes_without_a_model(play: Play) -> None:
    play([OVERLOADED] * 4)
    world.publish_agent(degraded={"mode": "reply", "reply": "We will be back to you by tomorrow."})
    run = fail_four_times()
    assert (run.status, run.output) == ("completed", "We will be back to you by tomorrow.")
    assert run.reason == "No model could answer (overloaded), so the agent's fixed reply was given."


@pytest.mark.req("MOD-4")
def test_degraded_to_a_hand_over_escalates(play: Play) -> None:
    play([OVERLOADED] * 4)
    world.publish_agent(degraded={"mode": "hand_over"})
    run = fail_four_times()
    assert run.status == "escalated"
    assert run.reason == "No model could answer (overloaded), so it was handed over to a person."


@pytest.mark.req("MOD-4")
def test_degraded_to_waiting_waits_longer_each_time_up_to_five_minutes_and_a_day(
    play: Play, settings: Any
) -> None:
    play([OVERLOADED] * 8)
    world.publish_agent()
    run = fail_four_times()
    pauses = []
    for ago in (20, 100, 4000):
        with rewritable():
            Event.objects.filter(run_id=run.pk, name="run.retried").update(
                at=timezone.now() - timedelta(seconds=ago)
            )
        Run.objects.filter(pk=run.pk).update(created_at=timezone.now() - timedelta(days=2))
        run = later(run)
        assert run.status == "waiting_retry"
        assert run.wake_at is not None
        pauses.append((run.wake_at - timezone.now()).total_seconds())
    assert 20 <= pauses[0] + 1 <= 27
    assert 100 <= pauses[1] + 1 <= 127
    assert 299 <= pauses[2] <= 375
    settings.APPROVAL_SECONDS = 3600
    run = later(run)
    assert (run.status, run.reason) == ("failed", "No model could answer for 1 hours: overloaded")


@pytest.mark.req("RUN-2")
def test_time_in_which_no_model_answered_is_no_work(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    for simulator in simulators:
        simulator.misbehave(Fault(kind=FaultKind.HANG, seconds=60))
    publish_chain()
    run = world.carry_on(world.start())
    assert run.status == "waiting_retry"
    assert run.work_ms < 500, "two calls of 0.3 s each were waited for"


PLAN = {"goal": "Look", "steps": [{"title": "Look", "categories": []}], "needs_clarification": None}
SEEN = {"verdict": "complete", "confidence": 0.9, "summary": "Seen.", "feedback": ""}


@pytest.mark.req("MOD-5")
def test_a_structured_answer_is_repaired_by_its_errors_and_all_of_it_is_counted(play: Play) -> None:
    model = play(
        [answer({"goal": 7}), answer({**PLAN, "steps": []}), answer(PLAN), say("Done."), answer(SEEN)]
    )
    world.publish_agent(pattern="plan_execute")
    run = world.carry_on(world.start())
    assert run.status == "completed"
    first, second, third = model.requests[:3]
    assert first.messages == second.messages[:-2]
    assert second.messages == third.messages[:-2]
    own, told = second.messages[-2:]
    assert (own.role, own.text) == ("assistant", '{"goal": 7}')
    assert told.role == "user"
    assert "goal: 7 is not of type 'string'" in told.text
    assert "'steps' is a required property" in told.text
    assert attempts(run) == [("scripted", "malformed")] * 2 + [("scripted", "")] * 3
    assert run.input_tokens == 500
    assert list(run.steps.values_list("kind", flat=True)) == [StepKind.PLAN, StepKind.MODEL, StepKind.OBSERVE]


@pytest.mark.req("MOD-5")
def test_a_structured_answer_that_never_fits_goes_to_a_person_with_its_tokens_counted(play: Play) -> None:
    play([answer({"goal": 7})] * 3)
    world.publish_agent(pattern="plan_execute")
    run = world.carry_on(world.start())
    assert run.status == "escalated"
    assert run.reason.startswith(
        "The planner gave no answer that fits what was asked, even after 2 repairs: "
    )
    assert run.input_tokens == 300
    assert attempts(run) == [("scripted", "malformed")] * 3


@pytest.mark.req("MOD-3", "MOD-5")
@pytest.mark.parametrize(
    ("finish", "times", "words"),
    [
        (Finish.REFUSED, 1, "The planner declined to answer."),
        (Finish.LENGTH, 2, "The planner was cut off at its length limit, and once more when asked for less."),
    ],
)
def test_a_structured_answer_that_is_none_goes_to_a_person(
    play: Play, finish: Finish, times: int, words: str
) -> None:
    none = ModelResponse(text="No", finish=finish, usage=Usage(input=10), model="scripted")
    play([none] * times)
    world.publish_agent(pattern="plan_execute")
    run = world.carry_on(world.start())
    assert (run.status, run.reason, run.input_tokens) == ("escalated", words, 10 * times)


@pytest.mark.req("MOD-6")
def test_the_cache_is_written_with_the_first_turn_and_read_with_the_next(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    publish_chain()
    run = world.carry_on(world.start())
    first, second = Span.objects.filter(trace_id=run.trace_id, operation="chat").order_by("started_at")
    assert first.cache_write_tokens
    assert (first.cache_read_tokens, second.cache_write_tokens) == (0, 0)
    assert second.cache_read_tokens == first.cache_write_tokens
    assert run.cache_write_tokens == first.cache_write_tokens
    assert run.cache_read_tokens == second.cache_read_tokens
    body: Any = SpanBody.objects.get(span=second).input
    assert body[CONTINUES] == first.pk, "all that was sent before is sent again first, word by word"
    _, before, answer = read_span(run.trace_id, first.pk)
    _, whole, _ = read_span(run.trace_id, second.pk)
    said = {"role": "assistant", "text": answer["text"], "tool_calls": answer["tool_calls"]}
    assert [message["role"] for message in body["messages"]] == ["tool"]
    assert whole["messages"] == [*before["messages"], said, *body["messages"]]
    assert tools.effects() == []


@pytest.mark.req("MOD-2")
def test_a_run_that_is_short_of_money_asks_the_cheapest_endpoint_first(
    simulators: tuple[SimulatorServer, SimulatorServer],
) -> None:
    executor = {"provider": "anthropic", "model": "claude-sonnet-4-5", "fallback": ["openai:gpt-4o-mini"]}
    world.publish_agent(models={"executor": executor}, limits={"cost_usd": 0.001})
    run = world.start()
    Run.objects.filter(pk=run.pk).update(cost_usd=Decimal("0.0008"))
    run = world.carry_on(run)
    assert run.status == "completed"
    assert attempts(run) == [("openai", ""), ("openai", "")]
