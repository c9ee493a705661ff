"""The real SDKs against the simulator over loopback, in both wire formats, plain and streamed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import openai
import pytest

from agents.providers.anthropic import AnthropicProvider
from agents.providers.base import Finish, Message, ModelRequest, ProposedCall, Provider, ToolSchema
from agents.providers.openai import OpenAIProvider
from agents.simulator.scripts import parse_scripts
from agents.simulator.server import SimulatorServer

pytestmark = pytest.mark.req("MOD-1")

SCRIPTS = """
- name: refund-lost-parcel
  when: {user: "order (?P<order_id>T-\\\\d+)"}
  capture: {amount: "paid EUR (\\\\d+)"}
  planner: {goal: "Refund {order_id}.", steps: [look up, refund]}
  executor:
    - text: "I look up the order."
      calls: [{name: get_order, arguments: {order_id: "{order_id}"}}, {name: get_customer}]
    - calls: [{name: issue_refund, arguments: {order_id: "{order_id}", amount: "{amount:number}"}}]
    - cases:
        - {match: denied, text: "An operator declined the refund."}
        - {match: ".", text: "Refunded EUR {amount}. Grüße, 你好!"}
"""
PLAN_SCHEMA = {
    "type": "object",
    "properties": {"goal": {"type": "string"}, "steps": {"type": "array", "items": {"type": "string"}}},
    "required": ["goal", "steps"],
}
TOOLS = (
    ToolSchema(
        "get_order", "Look up one order.", {"type": "object", "properties": {"order_id": {"type": "string"}}}
    ),
    ToolSchema("get_customer", "Look up the customer.", {"type": "object", "properties": {}}),
    ToolSchema("issue_refund", "Pay back.", {"type": "object", "properties": {"amount": {"type": "number"}}}),
)
ASK = Message("user", "My parcel with order T-1003 is lost.")
Ask = Callable[[ModelRequest], Any]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorServer]:
    with SimulatorServer(parse_scripts(SCRIPTS, source="test")) as server:
        yield server


@pytest.fixture(scope="module", params=["anthropic", "openai"])
def provider(request: pytest.FixtureRequest, simulator: SimulatorServer) -> Iterator[Provider]:
    with closing(
        AnthropicProvider(api_key="k", base_url=simulator.url, simulated=True)
        if request.param == "anthropic"
        else OpenAIProvider(api_key="k", base_url=simulator.url + "/v1", simulated=True)
    ) as made:
        yield made


@pytest.fixture(params=["plain", "streamed"])
def ask(request: pytest.FixtureRequest, provider: Provider) -> Ask:
    """One call, either way; streamed, the pieces must add up to the text."""

    def plain(asked: ModelRequest) -> Any:
        return provider.complete(asked)

    def streamed(asked: ModelRequest) -> Any:
        pieces: list[str] = []
        response = provider.complete(asked, on_text=pieces.append)
        if asked.output_schema is None and response.finish is not Finish.REFUSED:
            assert "".join(pieces) == response.text
            assert len(pieces) > 1 or len(response.text.split()) < 2
        else:
            assert not pieces
        return response

    return plain if request.param == "plain" else streamed


def wanted(*messages: Message, system: str = "# Role: executor\nHelp.", **settings: Any) -> ModelRequest:
    return ModelRequest(
        model="claude-haiku-4-5", system=system, messages=messages or (ASK,), tools=TOOLS, **settings
    )


def test_a_conversation_goes_from_call_to_call_to_final_text(ask: Ask) -> None:
    first = ask(wanted())
    assert (first.text, first.finish) == ("I look up the order.", Finish.TOOL_CALLS)
    assert [(call.name, call.arguments) for call in first.tool_calls] == [
        ("get_order", {"order_id": "T-1003"}),
        ("get_customer", {}),
    ]
    assert len({call.id for call in first.tool_calls}) == 2
    assert first.model == "claude-haiku-4-5"
    assert first.response_id

    history = [ASK, Message("assistant", first.text, first.tool_calls)]
    history += [
        Message("tool", f"{call.name}: paid EUR 80", tool_call_id=call.id) for call in first.tool_calls
    ]
    second = ask(wanted(*history))
    assert [(call.name, call.arguments) for call in second.tool_calls] == [
        ("issue_refund", {"order_id": "T-1003", "amount": 80})
    ]

    history.append(Message("assistant", second.text, second.tool_calls))
    done = Message("tool", "refunded", tool_call_id=second.tool_calls[0].id)
    last = ask(wanted(*history, done))
    assert (last.text, last.finish) == ("Refunded EUR 80. Grüße, 你好!", Finish.STOP)
    assert last.tool_calls == ()

    denied = replace(done, text="denied by an operator", is_error=True)
    assert ask(wanted(*history, denied)).text == "An operator declined the refund."


def test_a_structured_answer_is_parsed(ask: Ask) -> None:
    response = ask(wanted(system="# Role: planner\nPlan.", output_schema=PLAN_SCHEMA))
    assert response.parsed == {"goal": "Refund T-1003.", "steps": ["look up", "refund"]}
    assert response.finish is Finish.STOP
    assert response.tool_calls == ()
    assert '"goal"' in response.text


def test_the_same_request_gets_the_same_answer_and_another_run_other_ids(ask: Ask) -> None:
    assert ask(wanted()) == ask(wanted())
    one, other = (ask(wanted(metadata={"run": run})) for run in ("1", "2"))
    assert one.text == other.text
    assert one.tool_calls[0].id != other.tool_calls[0].id


@pytest.mark.req("MOD-6")
def test_usage_is_told_in_buckets_that_do_not_overlap(provider: Provider, ask: Ask) -> None:
    cold = ask(wanted()).usage
    calls = ask(wanted()).tool_calls
    results = [Message("tool", "paid EUR 80", tool_call_id=call.id) for call in calls]
    warm = ask(wanted(ASK, Message("assistant", "", calls), *results)).usage
    assert cold.input > 0
    assert cold.output > 0
    assert cold.cache_read == 0
    assert warm.cache_read > 0
    assert warm.cache_write == 0
    if provider.name == "anthropic":
        assert cold.cache_write == warm.cache_read
    else:
        # OpenAI counts cached tokens as part of the prompt: they must not be counted twice.
        assert cold.input > warm.cache_read
        assert warm.input < warm.cache_read
    assert warm.total == warm.input + warm.cache_read + warm.cache_write + warm.output


def test_an_answer_longer_than_allowed_is_cut_and_says_so(ask: Ask) -> None:
    response = ask(replace(wanted(Message("user", "Something else.")), max_tokens=5))
    assert response.finish is Finish.LENGTH
    assert response.text.startswith("This is the")
    assert len(response.text) <= 20


def test_history_with_whatever_a_model_wrote_can_be_sent_again(ask: Ask) -> None:
    odd = (
        ProposedCall("c1", "get order!", {"order_id": "T-1003"}),
        ProposedCall("c2", "get_order", None, raw='{"order_id": '),
    )
    response = ask(
        wanted(
            ASK,
            Message("assistant", ""),
            Message("user", "Go on."),
            Message("assistant", "", odd),
            Message("tool", "no such tool", tool_call_id="c1", is_error=True),
            Message("tool", "", tool_call_id="c2", is_error=True),
            Message("user", "An operator says: hurry."),
        )
    )
    assert response.finish is Finish.STOP


def test_many_threads_share_one_client(provider: Provider) -> None:
    answers: list[str] = []
    start = threading.Barrier(60)

    def one(number: int) -> None:
        start.wait()
        response = provider.complete(wanted(Message("user", f"order T-{number}")))
        answers.append(str((response.tool_calls[0].arguments or {})["order_id"]))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(f"T-{number}" for number in range(60))


def test_embeddings_put_texts_with_common_words_together(simulator: SimulatorServer) -> None:
    with openai.OpenAI(api_key="k", base_url=simulator.url + "/v1", max_retries=0) as client:
        texts = ["refund for a lost parcel", "the parcel is lost, refund it", "opening hours on Sunday"]
        # Unasked, the SDK wants base64 and unpacks it.
        for asked in ({"encoding_format": "float"}, {}):
            answer = client.embeddings.create(
                model="text-embedding-3-small",
                input=texts,
                dimensions=256,
                **asked,  # type: ignore[arg-type]
            )
            one, near, far = (item.embedding for item in answer.data)
            assert len(one) == 256
            assert dot(one, one) == pytest.approx(1, abs=1e-5)
            assert dot(one, near) > dot(one, far) + 0.2
        assert next(iter(client.models.list())).id == "claude-sonnet-4-5"


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
