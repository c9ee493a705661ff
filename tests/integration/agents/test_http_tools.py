"""HTTP endpoints as tools: requests that go where they should, and results that say what happened."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from agents import credentials
from agents.config.tools import HttpTool
from agents.decisions import decide
from agents.exceptions import BadConfig
from agents.models import ToolCall
from agents.providers.scripted import call, say, together
from agents.tools import NotFound, ToolContext, ToolFailure, UnknownOutcome, http
from tests import world
from tests.integration.agents.conftest import Play
from tests.leaks import tables_with
from tests.serving import reply, serving
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("TOOL-1")]

SECRET = "s3cret-for+the/shop="


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: str


@dataclass
class Shop:
    """An API on this machine; `answers` by path say how it replies."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Note a request and answer it."""
        url = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.seen.append(Seen(handler.command, url.path, parse_qs(url.query), headers, body))
        if url.path in self.answers:
            self.answers[url.path](handler)
        else:
            reply(handler, 200, b'{"done": true}')

    def says(self, path: str, status: int, body: str | bytes = b"", **headers: str) -> None:
        """Have a path reply so."""
        content = body.encode() if isinstance(body, str) else body
        self.answers[path] = lambda handler: reply(handler, status, content, **headers)


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    """The API, which the egress rules name."""
    shop = Shop()
    with serving(shop.take) as port:
        shop.url = f"http://127.0.0.1:{port}"
        settings.EGRESS = [shop.url]
        yield shop


def context(key: str = "key-1") -> ToolContext:
    """Where the call stands."""
    return ToolContext("run", "call", key, {}, "agent", timezone.now())


def endpoint(**values: Any) -> HttpTool:
    """A tool's entry."""
    return HttpTool.model_validate({"name": "shop", "description": "Ask the shop."} | values)


def perform(arguments: dict[str, Any], /, **values: Any) -> Any:
    """What a call comes to."""
    spec = endpoint(**values)
    http.check(spec)
    return http.build(spec).run(context(), arguments)


def keep(name: str = "shop", kind: str = "bearer", secret: str = SECRET, **values: Any) -> None:
    """Set a credential."""
    values = {"parameter": "", "hosts": []} | values
    credentials.keep(name=name, kind=kind, secret=secret, actor=None, now=timezone.now(), **values)


def test_arguments_go_into_path_query_or_body(shop: Shop) -> None:
    arguments = {"order": "O/1 é?", "tags": ["a", "b&c"], "deep": {"x": 1}, "none": None, "open": True}
    schema = {"order": "string", "tags": "array", "deep": "object", "none": {}, "open": "boolean"}
    url = f"{shop.url}/orders/{{order}}/items?v=2"
    assert perform(arguments, url=url, arguments=schema, effect="read") == {"done": True}
    assert perform(arguments, url=url, arguments=schema, method="PATCH") == {"done": True}
    asked, changed = shop.seen
    assert asked.path == changed.path == "/orders/O%2F1%20%C3%A9%3F/items"
    assert asked.query == {"v": ["2"], "tags": ["a", "b&c"], "deep": ['{"x": 1}'], "open": ["true"]}
    assert (asked.body, changed.query) == ("", {"v": ["2"]})
    assert json.loads(changed.body) == {name: value for name, value in arguments.items() if name != "order"}
    assert "idempotency-key" not in asked.headers
    assert changed.headers["idempotency-key"] == "key-1"
    assert changed.headers["content-type"] == "application/json"


@pytest.mark.req("OPS-4")
@pytest.mark.parametrize("value", ["..", ".", "", "../admin", "a/../../b", "..\\admin", "/..", "../"])
def test_an_argument_names_no_other_place(value: str, shop: Shop) -> None:
    for url in (f"{shop.url}/orders/{{order}}", f"{shop.url}/orders/{{order}}/items"):
        with pytest.raises(ToolFailure, match="can't stand in an address"):
            perform({"order": value}, url=url, arguments={"order": "string"}, method="DELETE")
    assert not shop.seen


@pytest.mark.req("OPS-4")
@pytest.mark.parametrize(
    "value", ["a#b", "a?b=c", "%2e%2e", "%2F", "a;b", "@evil.com", "//evil.com", "\r\nX: y", "…"]
)
def test_an_argument_stays_in_its_segment(value: str, shop: Shop) -> None:
    perform(
        {"order": value}, url=f"{shop.url}/orders/{{order}}/x", arguments={"order": "string"}, effect="read"
    )
    (seen,) = shop.seen
    assert seen.path.startswith("/orders/")
    assert seen.path.endswith("/x")
    assert seen.path.count("/") == 3
    assert not seen.query


@pytest.mark.req("TOOL-9")
def test_a_credential_that_is_meant_is_named() -> None:
    credentials.keep(
        name="shop", kind="bearer", parameter="", hosts=[], secret="hunter22", actor=None, now=timezone.now()
    )
    with pytest.raises(BadConfig, match=r"no credential 'shp': did you mean 'shop'\? Else set it first\."):
        world.publish_agent(
            tools=[{"http": {"name": "x", "description": "X.", "url": "https://a.com/", "credential": "shp"}}]
        )


@pytest.mark.req("TOOL-2")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"url": "https://{host}/x", "arguments": {"host": "string"}}, "scheme or the host"),
        ({"url": "{host}://a.com/x", "arguments": {"host": "string"}}, "scheme or the host"),
        ({"url": "https://a.com:{host}", "arguments": {"host": "string"}}, "scheme or the host"),
        ({"url": "https://a.com/{host", "arguments": {"host": "string"}}, "pair of braces"),
        ({"url": "https://a.com/{x}", "arguments": {"x": "string"}, "required": []}, "needs x"),
        ({"url": "https://a.com/", "arguments": {"x": {"type": "text"}}}, "no JSON Schema"),
        (
            {"url": "https://a.com/", "arguments": {"x": {"$ref": "http://169.254.169.254/"}}},
            "leads to nothing",
        ),
        ({"url": "https://a.com/", "credential": "missing"}, "no credential 'missing'"),
        (
            {"url": "https://a.com/", "headers": {"X-Key": {"credential": "missing"}}},
            "no credential 'missing'",
        ),
        ({"url": "https://a.com/", "headers": {"Host": "b.com"}}, "set by Gatehouse"),
        ({"url": "https://a.com/", "headers": {"X": "a\r\nb"}}, "printable ASCII"),
        ({"url": "http://169.254.169.254/{x}", "arguments": {"x": "string"}}, "GATEHOUSE_EGRESS"),
        ({"url": "ftp://a.com/"}, "only http and https"),
    ],
)
def test_what_would_always_fail_is_refused_when_published(values: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig, match=words) as refused:
        world.publish_agent(tools=[{"http": {"name": "x", "description": "X."} | values}])
    assert refused.value.errors[0]["path"][:3] == ["tools", 0, "http"]


JSON = {"Content_Type": "application/json"}
TYPED: list[tuple[int, str, dict[str, str], type[Exception], bool, str]] = [
    # status, body, headers, raised for an effect, retryable, words
    (404, '{"detail": "No order O-9; known: O-1."}', JSON, NotFound, False, "No order O-9; known: O-1."),
    (410, "", {}, NotFound, False, "410 Gone"),
    (400, '{"error": {"message": "amount is negative"}}', JSON, ToolFailure, False, "amount is negative"),
    (422, '{"detail": [{"message": "too big"}]}', JSON, ToolFailure, False, "too big"),
    (401, "who are you", {}, ToolFailure, False, "credential"),
    (403, "<html>no</html>", {"Content_Type": "text/html"}, ToolFailure, False, "credential"),
    (409, '{"title": "Already refunded"}', JSON, ToolFailure, False, "Already refunded"),
    (429, "", {"Retry_After": "30"}, ToolFailure, True, "wait 30 s"),
    (503, "", {"Retry_After": "30"}, ToolFailure, True, "wait 30 s"),
    (501, "", {}, ToolFailure, False, "501"),
    (503, "", {}, UnknownOutcome, False, "may have happened"),
    (500, "Traceback", {}, UnknownOutcome, False, "may have happened"),
    (599, "", {}, UnknownOutcome, False, "599"),
    (303, "", {"Location": "/x"}, UnknownOutcome, False, "leads to /x"),
    (307, "", {"Location": "http://10.0.0.1/"}, ToolFailure, False, "307"),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "retryable", "words"), TYPED)
def test_replies_are_typed_failures(
    status: int, body: str, headers: dict[str, str], kind: type, retryable: bool, words: str, shop: Shop
) -> None:
    shop.says("/x", status, body, **headers)
    with pytest.raises((ToolFailure, UnknownOutcome), match=words) as raised:
        perform({}, url=f"{shop.url}/x", method="POST")
    assert type(raised.value) is kind
    assert getattr(raised.value, "retryable", False) is retryable
    assert len(shop.seen) == 1


def test_an_effect_follows_no_redirect_even_where_it_is_a_get(shop: Shop) -> None:
    shop.says("/x", 302, Location="/there")
    assert perform({}, url=f"{shop.url}/x", effect="read") == {"done": True}
    for method in ("GET", "DELETE"):
        with pytest.raises(UnknownOutcome, match="leads to /there"):
            perform({}, url=f"{shop.url}/x", method=method)
    assert [seen.path for seen in shop.seen] == ["/x", "/there", "/x", "/x"]


def test_a_read_that_the_server_broke_off_may_be_tried_again(shop: Shop) -> None:
    shop.says("/x", 500)
    for method in ("GET", "POST"):
        with pytest.raises(ToolFailure, match="500") as raised:
            perform({}, url=f"{shop.url}/x", method=method, effect="read")
        assert raised.value.retryable


def test_successes_are_data(shop: Shop) -> None:
    def read(method: str = "GET") -> Any:
        return perform({}, url=f"{shop.url}/x", method=method, effect="read")

    shop.says("/x", 200, '[1, "é"]', Content_Type="application/hal+json; charset=utf-8")
    assert read() == [1, "é"]
    shop.says("/x", 200, "{broken", Content_Type="application/json")
    assert read() == "{broken"
    shop.says("/x", 200, "[" * 200_000, Content_Type="application/json")
    assert read() == "[" * 200_000
    shop.says("/x", 200, "grün".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
    assert read() == "grün"
    shop.says("/x", 200, b"\x89PNG\x00\xff", Content_Type="image/png")
    assert read() == {"content_type": "image/png", "bytes": 6}
    shop.says("/x", 204)
    assert read() == {"status": 204}
    shop.says("/x", 200, "text", Content_Type="text/plain")
    assert read("HEAD") == {"status": 200, "headers": {"content-type": "text/plain", "content-length": "4"}}


def test_a_reply_that_is_too_long_fails_a_read_and_not_an_effect(shop: Shop) -> None:
    shop.says("/x", 201, b"x" * 5_000_001)
    with pytest.raises(ToolFailure, match="longer than 5,000,000 bytes"):
        perform({}, url=f"{shop.url}/x", effect="read")
    result = perform({}, url=f"{shop.url}/x", method="POST")
    assert result["status"] == 201
    assert "not read" in result["note"]


def test_what_was_not_sent_failed_and_what_was_is_unknown(shop: Shop, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings.EGRESS = [*settings.EGRESS, f"http://127.0.0.1:{port}", "http://nowhere.test"]
    with pytest.raises(ToolFailure, match="can't be reached") as refused:
        perform({}, url=f"http://127.0.0.1:{port}/x", method="POST")
    assert refused.value.retryable

    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)
        handler.close_connection = True

    def break_off(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        hang_up(handler)

    def dawdle(handler: BaseHTTPRequestHandler) -> None:
        handler.connection.recv(1)  # until the client goes

    for answer in (hang_up, break_off, dawdle):
        shop.answers["/x"] = answer
        with pytest.raises(UnknownOutcome, match="was sent, and no whole reply came"):
            perform({}, url=f"{shop.url}/x", method="POST", timeout=0.5)


@pytest.mark.req("OPS-4")
@pytest.mark.parametrize(
    ("kind", "parameter", "where"),
    [
        ("bearer", "", lambda seen: seen.headers["authorization"] == f"Bearer {SECRET}"),
        ("header", "X-Api-Key", lambda seen: seen.headers["x-api-key"] == SECRET),
        ("query", "key", lambda seen: seen.query["key"] == [SECRET]),
        ("basic", "", lambda seen: seen.headers["authorization"].startswith("Basic ")),
    ],
)
def test_a_credential_is_put_in_when_sent_and_masked_when_it_comes_back(
    kind: str, parameter: str, where: Callable[[Seen], bool], shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"headers": dict(handler.headers), "path": handler.path}).encode()
        reply(handler, 200 if handler.command == "GET" else 401, body)

    caplog.set_level(logging.INFO)
    secret = f"desk:{SECRET}" if kind == "basic" else SECRET
    keep(kind=kind, secret=secret, parameter=parameter, hosts=["127.0.0.1"])
    shop.answers["/x"] = echo
    result = perform(
        {"key": "mine"}, url=f"{shop.url}/x", credential="shop", effect="read", arguments={"key": "string"}
    )
    assert where(shop.seen[-1])
    assert "[credential shop]" in str(result)
    with pytest.raises(ToolFailure, match="does not accept the credential") as refused:
        perform({}, url=f"{shop.url}/x", method="POST", credential="shop")
    for told in (str(result), str(refused.value), caplog.text):
        assert SECRET not in told
        assert "s3cret" not in told


@pytest.mark.req("OPS-4")
def test_a_credential_goes_to_its_hosts_alone_and_no_redirect_takes_it_along(
    shop: Shop, settings: Any
) -> None:
    keep(hosts=["api.shop.com"])
    with pytest.raises(ToolFailure, match=r"may not be sent to 127\.0\.0\.1"):
        perform({}, url=f"{shop.url}/x", credential="shop", effect="read")
    assert not shop.seen
    keep("key", kind="value")
    with serving(shop.take) as other:
        settings.EGRESS = [*settings.EGRESS, f"http://127.0.0.1:{other}"]
        shop.says("/away", 302, Location=f"http://127.0.0.1:{other}/there")
        perform({}, url=f"{shop.url}/away", headers={"X-Key": {"credential": "key"}}, effect="read")
    assert shop.seen[0].headers["x-key"] == SECRET
    assert SECRET not in str(shop.seen[1])


def test_a_changed_definition_is_another_tool() -> None:
    digests = {
        http.build(endpoint(**{"url": "https://a.com/x"} | change)).digest
        for change in (
            {},
            {"url": "https://a.com/y"},
            {"method": "POST"},
            {"effect": "read"},
            {"credential": "c"},
            {"headers": {"X": "1"}},
            {"arguments": {"x": "string"}},
            {"description": "Else."},
            {"idempotent": True},
            {"name": "y"},
        )
    }
    assert len(digests) == 10


@pytest.mark.req("APR-1", "TOOL-2", "OPS-4")
def test_an_agent_reads_at_once_and_changes_once_after_approval(shop: Shop, play: Play) -> None:
    keep()
    shop.says("/orders/O-1", 200, '{"id": "O-1", "total": 20}', Content_Type="application/json")
    shop.answers["/lost"] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    play(
        [
            together(call("get_order", order="O-1"), call("get_order", order=7)),
            call("refund", order="O-1", amount=20),
            call("lose"),
            say("Done."),
        ]
    )
    common = {"description": "Ask the shop.", "credential": "shop"}
    order = {"order": "string"}
    world.publish_agent(
        tools=[
            {"http": common | {"name": "get_order", "url": f"{shop.url}/orders/{{order}}", "effect": "read"} | {"arguments": order}},
            {"http": common | {"name": "refund", "url": f"{shop.url}/orders/{{order}}/refunds", "method": "POST"}
             | {"arguments": order | {"amount": {"type": "number", "maximum": 50}}}},
            {"http": common | {"name": "lose", "url": f"{shop.url}/lost", "method": "POST"}},
        ]
    )  # fmt: skip
    run = world.carry_on(world.start())
    assert world.calls(run) == [
        ("get_order", "succeeded"),
        ("get_order", "refused"),
        ("refund", "pending_approval"),
    ]
    assert [seen.method for seen in shop.seen] == ["GET"]
    assert world.pending(run).title == "refund: POST /orders/O-1/refunds at 127.0.0.1"

    run = world.carry_on_approved(run)
    refund = ToolCall.objects.get(run=run, tool="refund")
    (sent,) = [seen for seen in shop.seen if seen.method == "POST"]
    assert (sent.path, json.loads(sent.body)) == ("/orders/O-1/refunds", {"amount": 20})
    assert sent.headers["idempotency-key"] == refund.idempotency_key
    assert sent.headers["authorization"] == f"Bearer {SECRET}"
    assert refund.status == "succeeded"

    run = world.carry_on_approved(run)
    assert world.calls(run)[-1] == ("lose", "unknown")
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"outcome": "happened", "note": "The shop has it."},
    )
    run = world.carry_on(run)
    assert (run.status, world.calls(run)[-1]) == ("completed", ("lose", "reconciled"))
    assert len([seen for seen in shop.seen if seen.path == "/lost"]) == 1
    assert Event.objects.filter(object_id=str(refund.pk)).exists()
    assert tables_with("O-1")
    assert tables_with(SECRET) == []
