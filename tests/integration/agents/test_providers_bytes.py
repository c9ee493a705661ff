"""Answers written out byte by byte, as endpoints other than the simulator send them."""

import json
import socket
import threading
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest

from agents.providers.anthropic import AnthropicProvider
from agents.providers.base import (
    FailureKind,
    Finish,
    Message,
    ModelFailure,
    ModelRequest,
    ModelResponse,
    Usage,
)
from agents.providers.openai import OpenAIProvider

pytestmark = pytest.mark.req("MOD-1")
OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 7,
    "total_tokens": 107,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "t", "arguments": '{"a": 1}'}}
START = {
    "type": "message_start",
    "message": {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": []}
    | {
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 5,
            "output_tokens": 1,
        }
    },
}
TEXT = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi\x00"}},
    {"type": "content_block_stop", "index": 0},
]
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
STOP = {"type": "message_stop"}


def complete(name: str, body: bytes, *, kind: str, pieces: list[str] | None = None) -> ModelResponse:
    """What the provider makes of a server that answers with `body`."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1_000_000)
            connection.sendall(head + body)

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    made = AnthropicProvider if name == "anthropic" else OpenAIProvider
    request = ModelRequest(model="m", system="Be kind.", messages=(Message("user", "hello"),), timeout=5)
    try:
        with closing(made(api_key="k", base_url=url)) as provider:
            return provider.complete(request, on_text=pieces.append if pieces is not None else None)
    finally:
        thread.join()
        listening.close()


def plain(name: str, body: dict[str, Any]) -> ModelResponse:
    return complete(name, json.dumps(body).encode(), kind="application/json")


def stream(name: str, events: Iterable[dict[str, Any]]) -> tuple[ModelResponse, list[str]]:
    pieces: list[str] = []
    lines = "".join(f"event: {event.get('type', '')}\ndata: {json.dumps(event)}\n\n" for event in events)
    return complete(name, lines.encode(), kind="text/event-stream", pieces=pieces), pieces


def completion(message: dict[str, Any], finish: str | None, **extra: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice]} | extra


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.req("MOD-6")
def test_openai_prompt_tokens_are_split_into_fresh_read_and_written() -> None:
    response = plain("openai", completion({"content": "Hi"}, "stop", usage=OPENAI_USAGE))
    assert response.usage == Usage(input=50, cache_read=30, cache_write=20, output=7)


@pytest.mark.req("MOD-6")
def test_anthropic_buckets_come_as_they_are_and_the_stream_updates_them() -> None:
    response, pieces = stream("anthropic", [START, *TEXT, END, STOP])
    assert response.usage == Usage(input=10, cache_read=4, cache_write=5, output=9)
    assert response.text == "Hi\ufffd" == "".join(pieces)
    assert response.response_id == "m1"


@pytest.mark.req("MOD-3")
@pytest.mark.parametrize(
    "events", [[START, *TEXT, END], [START, *TEXT, STOP], [START, *TEXT], [END, STOP], [STOP]]
)
def test_an_anthropic_stream_needs_its_start_reason_and_end(events: list[dict[str, Any]]) -> None:
    with pytest.raises(ModelFailure) as caught:
        stream("anthropic", events)
    assert caught.value.kind is FailureKind.MALFORMED


@pytest.mark.req("MOD-3")
def test_an_openai_stream_needs_its_finish_reason() -> None:
    said = [chunk({"content": "Hi"}), {"id": "x", "choices": [], "usage": OPENAI_USAGE}]
    with pytest.raises(ModelFailure, match="without a finish reason"):
        stream("openai", said)
    assert stream("openai", [said[0], chunk({}, "stop"), said[1]])[0].usage.input == 50


@pytest.mark.parametrize("streamed", [False, True])
def test_tokens_that_nobody_counted_are_estimated(streamed: bool) -> None:
    response = (
        stream("openai", [chunk({"content": "Hi"}), chunk({}, "stop")])[0]
        if streamed
        else plain("openai", completion({"content": "Hi"}, "stop"))
    )
    assert response.usage.input > 5
    assert response.usage.output > 0


def test_calls_count_where_an_endpoint_says_stop() -> None:
    response = plain("openai", completion({"content": None, "tool_calls": [CALL]}, "stop"))
    assert response.finish is Finish.TOOL_CALLS
    assert response.tool_calls[0].arguments == {"a": 1}


def test_calls_are_put_together_from_interleaved_pieces() -> None:
    def piece(index: int, written: str, **opening: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": index, "function": {"arguments": written}} | opening]})

    opened = [
        chunk({"tool_calls": [{"index": number, "id": f"c{number}", "function": {"name": f"t{number}"}}]})
        for number in (0, 1)
    ]
    events = [
        *opened,
        piece(1, '{"b'),
        piece(0, '{"a": 1'),
        piece(1, '": 2}'),
        piece(0, "}"),
        chunk({}, "tool_calls"),
    ]
    calls = stream("openai", events)[0].tool_calls
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("c0", "t0", {"a": 1}),
        ("c1", "t1", {"b": 2}),
    ]


@pytest.mark.parametrize(
    "body",
    [
        completion({"content": "Hi"}, None),
        completion({"content": "Hi"}, "because"),
        completion({"content": None}, "tool_calls"),
        completion({"tool_calls": [{"id": "c"}]}, "tool_calls"),
        completion({"tool_calls": "none"}, "stop"),
    ],
)
def test_a_completion_that_contradicts_itself_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(ModelFailure) as caught:
        plain("openai", body)
    assert caught.value.kind is FailureKind.MALFORMED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "tool_use"),
        ([], "pause_turn"),
        ([5], "end_turn"),
        ("Hi", "end_turn"),
        ([], None),
        ([], ["end_turn"]),
    ],
)
def test_a_message_that_contradicts_itself_is_malformed(content: Any, reason: Any) -> None:
    body = START["message"] | {"content": content, "stop_reason": reason}  # type: ignore[operator]
    with pytest.raises(ModelFailure) as caught:
        plain("anthropic", body)
    assert caught.value.kind is FailureKind.MALFORMED


def test_a_content_filter_is_a_refusal() -> None:
    assert plain("openai", completion({"content": ""}, "content_filter")).finish is Finish.REFUSED
    refused = plain("openai", completion({"content": None, "refusal": "I won't."}, "stop"))
    assert (refused.finish, refused.text) == (Finish.REFUSED, "I won't.")
