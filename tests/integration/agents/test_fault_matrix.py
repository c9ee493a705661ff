"""What can go wrong with models and tools, one test each, over the wire: how the run ends and what people see of it."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from agents.models import Run, ToolCall
from agents.providers.routing import close_all
from agents.simulator.faults import Fault, FaultKind
from agents.simulator.scripts import parse_scripts
from agents.simulator.server import SimulatorServer
from tests import tools, world
from traces.models import Event, Span, SpanBody

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("MOD-3", "RUN-1", "RUN-4")]

MODELS = {"anthropic": "claude-haiku-4-5", "openai": "gpt-4o"}
LOOK = {"text": "I look.", "calls": [{"name": "get_balance", "arguments": {"account": "acme"}}]}
ANSWER = {"text": "It is all in order, as far as I can see."}
DONE = ("completed", "The agent gave its answer.")
Begin = Callable[..., Run]


@pytest.fixture(params=list(MODELS))
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def begin(wire: str, settings: Any) -> Iterator[Begin]:
    """Have the simulator play these turns on a server of its own, and carry a run as far as it goes."""
    servers: list[SimulatorServer] = []

    def start(*turns: dict[str, Any], fault: Fault | None = None, count: int = 1, **config: Any) -> Run:
        text = json.dumps([{"name": "played", "when": {"user": "owe"}, "executor": list(turns)}])
        server = SimulatorServer(parse_scripts(text, source="test"))
        server.__enter__()
        servers.append(server)
        settings.SIMULATOR_URL = server.url
        if fault is not None:
            server.misbehave(fault, count=count)
        model = {"provider": wire, "model": MODELS[wire], "timeout": 5, "stall": 0.5}
        world.publish_agent(models={"executor": model}, **config)
        return world.carry_on(world.start())

    yield start
    close_all()
    for server in servers:
        server.__exit__(None, None, None)


def faulty(turn: dict[str, Any], kind: FaultKind, **settings: Any) -> dict[str, Any]:
    """A turn that goes wrong this way, at the first try of a claim."""
    return turn | {"fault": {"kind": kind, "attempts": 1, **settings}}


def later(run: Run) -> Run:
    """The run, carried on when its time has come."""
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    return world.carry_on(run)


def shown(run: Run) -> str:
    """The run's page, as an operator gets it."""
    client = Client()
    client.force_login(world.person("ana", "operator"))
    response = client.get(f"/runs/{run.pk}")
    assert response.status_code == 200
    return response.content.decode()


def says(run: Run, *words: str) -> None:
    page = shown(run)
    for text in (run.reason, *words):
        assert escape(text) in page, text


def ending(run: Run) -> tuple[str, str]:
    return run.status, run.reason


def failed_spans(run: Run) -> list[str]:
    spans = Span.objects.filter(trace_id=run.trace_id, operation="chat", status="error")
    return list(spans.order_by("started_at").values_list("error_type", flat=True))


@pytest.mark.parametrize(
    ("kind", "given", "error", "words", "seconds"),
    [
        pytest.param(
            FaultKind.RATE_LIMIT,
            {"retry_after": 7},
            "rate_limit",
            "{wire} answered 429: Simulated fault: rate_limit",
            7,
            id="429-with-retry-after",
        ),
        pytest.param(
            FaultKind.RATE_LIMIT,
            {},
            "rate_limit",
            "{wire} answered 429: Simulated fault: rate_limit",
            1,
            id="429",
        ),
        pytest.param(
            FaultKind.SERVER_ERROR,
            {},
            "overloaded",
            "{wire} answered 500: Simulated fault: server_error",
            1,
            id="500",
        ),
        pytest.param(
            FaultKind.OVERLOADED,
            {},
            "overloaded",
            "{wire} answered 529: Simulated fault: overloaded",
            1,
            id="529",
        ),
        pytest.param(
            FaultKind.HANG, {"seconds": 60}, "timeout", "{wire} at {host} fell silent for 0.5 s", 1, id="hang"
        ),
        pytest.param(
            FaultKind.STALL,
            {"seconds": 60},
            "timeout",
            "{wire} at {host} fell silent for 0.5 s",
            1,
            id="stall-mid-stream",
        ),
        pytest.param(
            FaultKind.RESET,
            {},
            "connection",
            "{reset} (RemoteProtocolError)",
            1,
            id="reset-mid-stream",
        ),
        pytest.param(FaultKind.TRUNCATED_STREAM, {}, "malformed", None, 1, id="stream-without-its-end-event"),
        pytest.param(
            FaultKind.MALFORMED_JSON,
            {},
            "malformed",
            "{wire} at {host} sent a body that is not JSON",
            1,
            id="malformed-json",
        ),
    ],
)
def test_a_call_that_failed_is_made_again_and_nothing_else_is(
    begin: Begin,
    wire: str,
    settings: Any,
    kind: FaultKind,
    given: dict[str, Any],
    error: str,
    words: str | None,
    seconds: int,
) -> None:
    begun = timezone.now()
    run = begin(LOOK, faulty(ANSWER, kind, **given))
    host = settings.SIMULATOR_URL.removeprefix("http://")
    endings = {
        "anthropic": "the stream lacks its start or its end event",
        "openai": "the stream ended without a finish reason",
    }
    resets = {"anthropic": "hung up in the middle", "openai": "can't be reached, or hung up"}
    told = (words or f"{{wire}} sent an answer that can't be used: {endings[wire]}").format(
        wire=wire, host=host, reset=f"{wire} at {host} {resets[wire]}"
    )
    reason = f"The model failed ({told}); it is asked again in about {seconds} s."
    assert ending(run) == ("waiting_retry", reason)
    assert run.wake_at is not None
    assert begun + timedelta(seconds=seconds) <= run.wake_at
    assert run.wake_at - timezone.now() <= timedelta(seconds=seconds * 1.25)
    assert (run.lease_until, run.lease_owner) == (None, "")
    says(run, "It goes on at")
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now() + timedelta(minutes=1))  # however slow we are
    assert world.carry_on(run).fence == run.fence, "not before its time"
    run = later(run)
    assert ending(run) == DONE
    says(run, ANSWER["text"])
    assert world.calls(run) == [("get_balance", "succeeded")]
    assert ToolCall.objects.get(run=run).attempts == 1
    assert (failed_spans(run), run.turns) == ([error], 2)


def test_what_fails_for_long_is_waited_for_ever_more_rarely(begin: Begin, wire: str) -> None:
    run = begin(LOOK, fault=Fault(kind=FaultKind.OVERLOADED), count=10)
    for _ in range(3):
        assert run.reason.startswith("The model failed (")
        run = later(run)
    told = f"{wire} answered 529: Simulated fault: overloaded"
    reason = f"No model can answer ({told}). The run waits for one, and asks again in about 8 s."
    assert ending(run) == ("waiting_retry", reason)
    says(run, "It goes on at")
    run = later(run)
    assert Event.objects.filter(name="breaker.opened").count() == 1
    run = later(run)
    assert run.status == "waiting_retry"
    assert "failed too often lately and is left alone for" in run.reason
    assert failed_spans(run) == ["overloaded"] * 5 + ["breaker_open"]


def test_a_request_that_is_refused_ends_the_run_at_once(begin: Begin, wire: str) -> None:
    run = begin(LOOK, fault=Fault(kind=FaultKind.BAD_REQUEST))
    assert ending(run) == (
        "failed",
        f"The model failed: {wire} answered 400: Simulated fault: bad_request.",
    )
    says(run)


def test_a_key_that_is_refused_ends_the_run_and_is_not_shown(begin: Begin, wire: str) -> None:
    run = begin(LOOK, fault=Fault(kind=FaultKind.UNAUTHORIZED))
    assert run.status == "failed"
    assert run.reason.startswith(f"The model failed: {wire} answered 401: Incorrect API key provided")
    says(run)


def test_an_unknown_tool_is_refused_and_the_model_goes_on(begin: Begin) -> None:
    run = begin(faulty(LOOK, FaultKind.UNKNOWN_TOOL), ANSWER)
    assert ending(run) == DONE
    assert world.calls(run) == [("no_such_tool", "refused")]
    says(run, "no_such_tool", ToolCall.objects.get(run=run).error)
    assert tools.effects() == []


def test_wrong_types_are_refused_before_anybody_is_asked(begin: Begin) -> None:
    pay = {"calls": [{"name": "pay", "arguments": {"account": "acme", "amount": 40}}]}
    run = begin(faulty(pay, FaultKind.WRONG_TYPES), ANSWER)
    assert ending(run) == DONE
    assert world.calls(run) == [("pay", "refused")]
    says(run, ToolCall.objects.get(run=run).error)
    assert tools.effects() == []


def test_arguments_that_are_no_json_are_refused_before_anybody_is_asked(begin: Begin) -> None:
    pay = {"calls": [{"name": "pay", "arguments": {"account": "acme", "amount": 40}}]}
    run = begin(faulty(pay, FaultKind.MALFORMED_ARGUMENTS), ANSWER)
    assert ending(run) == DONE
    assert world.calls(run) == [("pay", "refused")]
    says(run, ToolCall.objects.get(run=run).error)
    assert tools.effects() == []


def test_an_answer_that_was_cut_off_is_asked_for_once_more_with_more_room(begin: Begin) -> None:
    run = begin(ANSWER, fault=Fault(kind=FaultKind.TRUNCATED))
    assert (*ending(run), run.output) == (*DONE, ANSWER["text"])
    says(run, ANSWER["text"])
    spans = Span.objects.filter(trace_id=run.trace_id, operation="chat").order_by("started_at")
    rooms = [span.attributes["gen_ai.request.max_tokens"] for span in spans]
    assert rooms == [4096, 8192]
    assert run.turns == 1
    assert run.output_tokens == sum(span.output_tokens or 0 for span in spans)


def test_an_answer_that_was_cut_off_twice_goes_to_a_person(begin: Begin) -> None:
    run = begin(ANSWER, fault=Fault(kind=FaultKind.TRUNCATED), count=2)
    assert ending(run) == ("escalated", "The model's answer was cut off at its length limit.")
    says(run, "Handed over")


def test_a_call_that_was_cut_off_is_not_made(begin: Begin) -> None:
    pay = {"calls": [{"name": "pay", "arguments": {"account": "acme", "amount": 40}}]}
    run = begin(pay, fault=Fault(kind=FaultKind.TRUNCATED), count=2)
    assert ending(run) == ("escalated", "The model's answer was cut off at its length limit.")
    assert world.calls(run) == []


def test_an_empty_answer_goes_to_a_person(begin: Begin) -> None:
    run = begin(ANSWER, fault=Fault(kind=FaultKind.EMPTY))
    assert ending(run) == ("escalated", "The model gave an empty answer.")
    says(run, "Handed over")


def test_a_refusal_goes_to_a_person_and_is_not_asked_again(begin: Begin) -> None:
    run = begin(ANSWER, fault=Fault(kind=FaultKind.REFUSAL))
    assert ending(run) == ("escalated", "The model declined to go on.")
    says(run, "Handed over")
    assert Span.objects.filter(trace_id=run.trace_id, operation="chat").count() == 1


def test_a_tool_named_in_prose_is_not_called_and_the_model_is_told_so(begin: Begin) -> None:
    pay = {"text": "I pay.", "calls": [{"name": "pay", "arguments": {"account": "acme", "amount": 40}}]}
    run = begin(pay, fault=Fault(kind=FaultKind.TEXT_CALL))
    assert ending(run) == ("waiting_approval", "A person must decide about a call.")
    says(run, "Pay EUR 40.00 to acme")
    assert tools.effects() == []


def test_a_tool_named_in_prose_twice_goes_to_a_person(begin: Begin) -> None:
    pay = {"text": "I pay.", "calls": [{"name": "pay", "arguments": {"account": "acme", "amount": 40}}]}
    run = begin(pay, fault=Fault(kind=FaultKind.TEXT_CALL), count=2)
    assert ending(run) == (
        "escalated",
        "The model wrote a call of pay out as text, twice: nothing was called.",
    )
    says(run, "Handed over")
    assert (world.calls(run), tools.effects()) == ([], [])


def test_forty_calls_in_one_turn_are_all_made_once(begin: Begin) -> None:
    notes = [{"name": "add_note", "arguments": {"text": f"note {number}"}} for number in range(40)]
    run = begin({"calls": notes}, ANSWER, policy=[{"tool": "add_note", "then": "allow"}])
    assert ending(run) == DONE
    assert world.calls(run) == [("add_note", "succeeded")] * 40
    written = [line.split(maxsplit=2)[2] for line in tools.effects()]
    assert written == [f"note {number}" for number in range(40)]
    says(run, "Proposed 40 calls")


def test_forty_irreversible_calls_wait_for_people(begin: Begin) -> None:
    pays = [{"name": "pay", "arguments": {"account": "acme", "amount": number + 1}} for number in range(40)]
    run = begin({"calls": pays}, ANSWER)
    assert ending(run) == ("waiting_approval", "A person must decide about a call.")
    assert world.calls(run) == [("pay", "pending_approval")] * 40
    assert tools.effects() == []
    says(run, "Pay EUR 40.00 to acme")


def test_a_tool_that_returns_five_megabytes_is_stored_apart(begin: Begin) -> None:
    archive = {"calls": [{"name": "pull_archive", "arguments": {}}]}
    run = begin(archive, ANSWER, tools=[{"python": "tests.tools.pull_archive"}])
    assert ending(run) == DONE
    assert world.calls(run) == [("pull_archive", "succeeded")]
    spans = Span.objects.filter(trace_id=run.trace_id, operation="chat").order_by("started_at")
    body = SpanBody.objects.get(span=spans[1])
    assert len(json.dumps(body.input)) < 50_000
    assert len(shown(run)) < 200_000
    says(run, ANSWER["text"])
