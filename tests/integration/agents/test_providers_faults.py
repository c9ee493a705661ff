"""Every fault of the simulator, through the real SDKs: each becomes a typed failure or an honest response."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agents.providers.anthropic import AnthropicProvider
from agents.providers.base import (
    FailureKind,
    Finish,
    Message,
    ModelFailure,
    ModelRequest,
    ProposedCall,
    Provider,
    ToolSchema,
)
from agents.providers.openai import OpenAIProvider
from agents.simulator.faults import Fault, FaultKind
from agents.simulator.scripts import parse_scripts
from agents.simulator.server import SimulatorServer

pytestmark = pytest.mark.req("MOD-1", "MOD-3")

KEY = "sk-very-secret-0123456789"
SCRIPTS = """
- name: talk
  when: {user: hello}
  executor: {text: "Good day to you, and thank you for writing to us about it."}
- name: act
  when: {user: act}
  executor: {text: "I act.", calls: [{name: get_order, arguments: {order_id: T-1}}]}
- name: flaky
  when: {user: flaky}
  executor: {text: "Here I am.", fault: {kind: overloaded, attempts: 2}}
"""
TOOL = ToolSchema("get_order", "Look up.", {"type": "object", "properties": {"order_id": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"verdict": {"type": "string"}}, "required": ["verdict"]}
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(parse_scripts(SCRIPTS, source="test")) as server:
        yield server


@pytest.fixture(scope="module", params=["anthropic", "openai"])
def provider(request: pytest.FixtureRequest, simulator: SimulatorServer) -> Iterator[Provider]:
    with closing(made(request.param, simulator.url)) as provider:
        yield provider


@pytest.fixture(params=["plain", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "streamed")


@pytest.fixture
def ask(provider: Provider, streamed: bool, simulator: SimulatorServer) -> Iterator[Ask]:
    def call(user: str = "hello", **settings: Any) -> Any:
        given: dict[str, Any] = {
            "tools": (TOOL,),
            "timeout": 5.0,
            "messages": (Message("user", user),),
        } | settings
        request = ModelRequest(model="claude-haiku-4-5", system="# Role: executor", **given)
        return provider.complete(request, on_text=(lambda piece: None) if streamed else None)

    yield call
    assert simulator.faults.pending() == []


def made(name: str, url: str) -> AnthropicProvider | OpenAIProvider:
    if name == "anthropic":
        return AnthropicProvider(api_key=KEY, base_url=url, simulated=True)
    return OpenAIProvider(api_key=KEY, base_url=url + "/v1", simulated=True)


@pytest.mark.parametrize(
    ("fault", "kind", "status", "retry_after"),
    [
        (Fault(kind=FaultKind.RATE_LIMIT, retry_after=7), FailureKind.RATE_LIMIT, 429, 7.0),
        (Fault(kind=FaultKind.RATE_LIMIT), FailureKind.RATE_LIMIT, 429, None),
        (Fault(kind=FaultKind.OVERLOADED, retry_after=0.5), FailureKind.OVERLOADED, 529, 0.5),
        (Fault(kind=FaultKind.UNAVAILABLE), FailureKind.OVERLOADED, 503, None),
        (Fault(kind=FaultKind.SERVER_ERROR), FailureKind.OVERLOADED, 500, None),
        (Fault(kind=FaultKind.BAD_REQUEST), FailureKind.INVALID_REQUEST, 400, None),
        (Fault(kind=FaultKind.UNAUTHORIZED), FailureKind.AUTHENTICATION, 401, None),
        (Fault(kind=FaultKind.HTML), FailureKind.OVERLOADED, 502, None),
        (Fault(kind=FaultKind.HTML_OK), FailureKind.MALFORMED, None, None),
        (Fault(kind=FaultKind.MALFORMED_JSON), FailureKind.MALFORMED, None, None),
        (Fault(kind=FaultKind.TRUNCATED_STREAM), FailureKind.MALFORMED, None, None),
        (Fault(kind=FaultKind.RESET), FailureKind.CONNECTION, None, None),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Fault) else None,
)
def test_a_broken_answer_is_a_typed_failure(
    ask: Ask,
    simulator: SimulatorServer,
    fault: Fault,
    kind: FailureKind,
    status: int | None,
    retry_after: float | None,
) -> None:
    simulator.misbehave(fault)
    with pytest.raises(ModelFailure) as caught:
        ask()
    assert (caught.value.kind, caught.value.status, caught.value.retry_after) == (kind, status, retry_after)
    assert KEY not in str(caught.value)
    assert "<html" not in str(caught.value)
    assert caught.value.retryable is (kind not in (FailureKind.INVALID_REQUEST, FailureKind.AUTHENTICATION))
    assert ask().finish is Finish.STOP, "the next call must not be harmed"


def test_an_error_within_a_stream_is_a_failure(ask: Ask, simulator: SimulatorServer, streamed: bool) -> None:
    simulator.misbehave(Fault(kind=FaultKind.STREAM_ERROR))
    with pytest.raises(ModelFailure, match="Overloaded") as caught:
        ask()
    assert caught.value.kind is FailureKind.OVERLOADED
    assert caught.value.status == (None if streamed else 529)


def test_silence_is_a_timeout(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.HANG, seconds=60))
    with pytest.raises(ModelFailure) as caught:
        ask(timeout=0.3)
    assert caught.value.kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("kind", [FaultKind.STALL, FaultKind.HANG])
def test_a_stream_that_falls_silent_is_given_up(
    ask: Ask, simulator: SimulatorServer, streamed: bool, kind: FaultKind
) -> None:
    simulator.misbehave(Fault(kind=kind, seconds=60))
    started = time.monotonic()
    with pytest.raises(ModelFailure, match="fell silent for 0.2 s" if streamed else "within 0.5 s") as caught:
        ask(timeout=30 if streamed else 0.5, stall=0.2)
    assert caught.value.kind is FailureKind.TIMEOUT
    assert time.monotonic() - started < 5


def test_pieces_that_come_in_time_are_waited_for(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.SLOW, seconds=0.01))
    assert ask(stall=2).text.startswith("Good day")


def test_a_stream_may_not_take_longer_than_the_whole_call(
    ask: Ask, simulator: SimulatorServer, streamed: bool
) -> None:
    if not streamed:
        return
    simulator.misbehave(Fault(kind=FaultKind.SLOW, seconds=0.1))
    with pytest.raises(ModelFailure, match="gave no whole answer") as caught:
        ask(timeout=0.5, stall=10)
    assert caught.value.kind is FailureKind.TIMEOUT


def test_wrong_types_are_handed_on_as_they_came(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.WRONG_TYPES))
    (call,) = ask("act").tool_calls
    assert call.arguments == {"order_id": ["T-1"]}


def test_what_another_provider_made_is_adapted(ask: Ask) -> None:
    tool = ToolSchema(
        "shop.get order",
        "Look up. " * 200,
        {"oneOf": [{"properties": {"order_id": {"type": "string"}}}, {"properties": {"name": {}}}]},
    )
    call = ProposedCall(id="functions.get_order:0|" + "x" * 60, name="shop.get order", arguments={})
    history = (
        Message("user", "hello"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "{}", tool_call_id=call.id),
    )
    assert ask(tools=(tool,), messages=history).text.startswith("Good day")


def test_latency_only_delays(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.LATENCY, min=0.01, max=0.05))
    assert ask().text.startswith("Good day")


def test_arguments_that_are_no_object_are_kept_as_they_came(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.MALFORMED_ARGUMENTS))
    (call,) = ask("act").tool_calls
    assert (call.name, call.arguments, call.raw) == ("get_order", None, '{"amount": 12, ')


def test_a_structured_answer_that_is_no_object_is_not_parsed(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.MALFORMED_ARGUMENTS))
    response = ask(output_schema=SCHEMA)
    assert (response.parsed, response.text, response.finish) == (None, '{"verdict": ', Finish.STOP)
    assert response.tool_calls == ()


def test_an_unknown_tool_is_proposed_as_written(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.UNKNOWN_TOOL))
    assert [call.name for call in ask("act").tool_calls] == ["no_such_tool"]


def test_an_empty_answer_is_empty(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.EMPTY))
    response = ask("act")
    assert (response.text, response.tool_calls, response.finish) == ("", (), Finish.STOP)


def test_a_truncated_answer_says_so(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.TRUNCATED), count=3)
    assert ask().finish is Finish.LENGTH
    calling = ask("act")
    assert calling.finish is Finish.LENGTH
    assert [call.arguments for call in calling.tool_calls] == [None]
    structured = ask(output_schema=SCHEMA)
    assert (structured.finish, structured.parsed) == (Finish.LENGTH, None)


def test_a_refusal_says_so(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.REFUSAL), count=2)
    assert (ask().finish, ask(output_schema=SCHEMA).finish) == (Finish.REFUSED, Finish.REFUSED)


def test_a_call_as_plain_text_is_text(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.TEXT_CALL))
    response = ask("act")
    assert response.tool_calls == ()
    assert '<tool_call>{"name": "get_order"' in response.text


def test_many_calls_come_in_one_turn(ask: Ask, simulator: SimulatorServer) -> None:
    simulator.misbehave(Fault(kind=FaultKind.PARALLEL_CALLS, calls=12))
    calls = ask("act").tool_calls
    assert len({call.id for call in calls}) == 12
    assert {call.name for call in calls} == {"get_order"}


def test_every_fault_is_covered() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [kind.name for kind in FaultKind if f"FaultKind.{kind.name}" not in tested] == []


def test_a_scripted_fault_ends_with_the_attempts(ask: Ask) -> None:
    for attempt in ("1", "2"):
        with pytest.raises(ModelFailure):
            ask("flaky", metadata={"attempt": attempt})
    assert ask("flaky", metadata={"attempt": "3"}).text == "Here I am."


def test_faults_are_ordered_by_http_and_by_header(simulator: SimulatorServer) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    with httpx2.Client(base_url=simulator.url, trust_env=False) as client:
        ordered = client.post("/_faults", json={"kind": "overloaded", "count": 2})
        assert [order["count"] for order in ordered.json()] == [2]
        assert client.post("/v1/messages", json=body).status_code == 529
        assert client.get("/_faults").json()[0]["count"] == 1
        assert client.delete("/_faults").json() == []
        assert client.post("/v1/messages", json=body).status_code == 200
        assert client.post("/_faults", json={"kind": "flood"}).status_code == 422
        for written in ("rate_limit", json.dumps({"kind": "rate_limit", "retry_after": 3})):
            answer = client.post("/v1/messages", json=body, headers={"X-Simulator-Fault": written})
            assert answer.status_code == 429
        assert answer.headers["retry-after"] == "3"
        assert client.post("/v1/messages", json=body, headers={"X-Simulator-Fault": "x"}).status_code == 400


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_nobody_at_home_is_a_connection_failure(name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with closing(made(name, url)) as provider, pytest.raises(ModelFailure) as caught:
            provider.complete(ModelRequest(model="m", system="", messages=(Message("user", "hello"),)))
    assert caught.value.kind is FailureKind.CONNECTION
    assert "127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("name", ["anthropic", "openai"])
@pytest.mark.parametrize(
    "body",
    [b"[]", b"null", b'"hi"', b"{}", b'{"content": 5}', b'{"choices": [7]}', b"\xff\xfe", b"[" * 90_000],
)
def test_json_of_another_shape_is_malformed(name: str, body: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    assert failure_for(name, answer, streamed=False).kind is FailureKind.MALFORMED


@pytest.mark.parametrize("name", ["anthropic", "openai"])
@pytest.mark.parametrize(
    "event",
    [
        "[]",
        "null",
        "{}",
        '{"type": "content_block_delta"}',
        '{"choices": 5}',
        '{"choices": [{"delta": 5}]}',
        "",
    ],
)
def test_a_stream_of_another_shape_is_malformed(name: str, event: str) -> None:
    body = f"event: content_block_delta\ndata: {event}\n\n".encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    assert failure_for(name, answer, streamed=True).kind is FailureKind.MALFORMED


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_a_stream_that_never_ends_is_cut_off_in_time(name: str) -> None:
    ping = b'event: content_block_start\ndata: {"type": "ping", "choices": []}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    assert failure_for(name, head, streamed=True, forever=ping, timeout=0.5).kind is FailureKind.TIMEOUT


def failure_for(
    name: str, answer: bytes, *, streamed: bool, forever: bytes = b"", timeout: float = 5.0
) -> ModelFailure:
    """What comes of a server that sends these bytes, whatever it is asked."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1_000_000)
            connection.sendall(answer)
            try:
                while forever:
                    connection.sendall(forever)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    request = ModelRequest(model="m", system="", messages=(Message("user", "hello"),), timeout=timeout)
    try:
        with closing(made(name, f"http://127.0.0.1:{listening.getsockname()[1]}")) as provider:
            with pytest.raises(ModelFailure) as caught:
                provider.complete(request, on_text=(lambda piece: None) if streamed else None)
            return caught.value
    finally:
        thread.join()
        listening.close()


@pytest.mark.parametrize("name", ["anthropic", "openai"])
@pytest.mark.parametrize("streamed_too", [False, True])
def test_a_server_that_sends_a_byte_now_and_then_holds_nobody(name: str, streamed_too: bool) -> None:
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Filler: ")
                while not over.wait(0.05):
                    connection.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        request = ModelRequest(model="m", system="", messages=(Message("user", "hello"),), timeout=0.5)
        started = time.monotonic()
        with closing(made(name, url)) as provider, pytest.raises(ModelFailure) as caught:
            provider.complete(request, on_text=(lambda piece: None) if streamed_too else None)
        over.set()
        thread.join()
    assert caught.value.kind is FailureKind.TIMEOUT
    assert time.monotonic() - started < 3
