"""Embeddings of endpoints that answer anything: a vector for each text, or a typed failure."""

import json
import socket
import threading
from contextlib import closing
from typing import Any

import pytest

from agents.config import Endpoint
from agents.memory.embeddings import Embedded, embed
from agents.providers.base import FailureKind, ModelFailure
from agents.providers.routing import close_all

pytestmark = [pytest.mark.req("MEM-5"), pytest.mark.django_db]  # what it costs is looked up


def answered(body: bytes, texts: list[str], *, status: str = "200 OK") -> Embedded:
    """What becomes of an endpoint that answers so."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            received = connection.recv(65_536)
            while b'"input"' not in received:  # the body may come apart from its head
                received += connection.recv(65_536)
            connection.sendall(head.encode() + body)

    thread = threading.Thread(target=serve)
    thread.start()
    endpoint = Endpoint(
        provider="openai", model="m", base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    )
    try:
        with closing(listening):
            return embed(texts, endpoint=endpoint)
    finally:
        thread.join(10)
        close_all()


def body(*vectors: Any, **changes: Any) -> bytes:
    data = [
        {"object": "embedding", "index": place, "embedding": vector} for place, vector in enumerate(vectors)
    ]
    given: dict[str, Any] = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3}}
    return json.dumps(given | changes).encode()


def test_vectors_come_in_the_order_of_their_texts() -> None:
    swapped = json.loads(body([1.0, 0.0], [0.0, 1.0]))
    swapped["data"].reverse()
    found = answered(json.dumps(swapped).encode(), ["a", "b"])
    assert found.vectors == ([1.0, 0.0], [0.0, 1.0])
    assert (found.tokens, found.by.split(" at ")[0]) == (3, "openai:m")


def test_a_vector_without_direction_is_none_and_uncounted_tokens_are_estimated() -> None:
    found = answered(body([0.0, 0.0], usage=None), ["twelve chars"])
    assert (found.vectors, found.tokens) == ((None,), 3)


@pytest.mark.parametrize(
    "given",
    [
        b"<html>",
        b"[]",
        b"{}",
        body(),
        body([1.0], [1.0]),
        body([]),
        body(["x"]),
        body(None),
        body([1.0] * 16_001),
        b'{"data": [{"index": 0, "embedding": [NaN]}]}',
        b'{"data": [{"index": 0, "embedding": [1e999]}]}',
    ],
)
def test_anything_else_is_malformed(given: bytes) -> None:
    with pytest.raises(ModelFailure) as failed:
        answered(given, ["a"])
    assert failed.value.kind == FailureKind.MALFORMED


def test_a_status_is_typed() -> None:
    with pytest.raises(ModelFailure) as failed:
        answered(b"{}", ["a"], status="429 Too Many Requests")
    assert failed.value.kind == FailureKind.RATE_LIMIT
