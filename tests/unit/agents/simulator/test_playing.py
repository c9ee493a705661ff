"""Which answer follows from a conversation."""

from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.observing import OBSERVATION_SCHEMA
from agents.runtime.planning import PLAN_SCHEMA
from agents.simulator import completions, messages
from agents.simulator.conversation import BadRequest, Conversation, Turn
from agents.simulator.embeddings import vector
from agents.simulator.faults import Fault, FaultKind, FaultQueue
from agents.simulator.filler import fill
from agents.simulator.playing import ANSWERS, NO_SCRIPT, distort, fill_in, play
from agents.simulator.scripts import parse_scripts

SCRIPTS = parse_scripts(
    """
- name: first
  when: {user: "order (?P<order_id>T-\\\\d+)(?P<rest> urgent)?"}
  capture: {amount: "EUR ([\\\\d.,]+)", word: "lost|late"}
  planner: {goal: "{order_id} {word}", steps: [{do: "pay {amount}"}]}
  executor:
    - text: "Looking at {order_id}{rest}."
    - cases:
        - {match: denied, text: "Declined."}
        - {match: "paid", calls: [{name: refund, arguments: {amount: "{amount:number}", note: "EUR {amount}"}}]}
    - {text: "Bye."}
  observer:
    - cases:
        - {match: "Declined", verdict: escalate}
        - {match: ".", verdict: complete}
- name: second
  when: {user: "order"}
  observer: [{verdict: go on}, {verdict: complete}]
""",
    source="test",
)
SCHEMA = {
    "type": "object",
    "properties": {"verdict": {"enum": ["retry", "complete"]}},
    "required": ["verdict"],
}


def talk(
    *turns: tuple[str, str], role: str = "executor", schema: Any = None, **settings: Any
) -> Conversation:
    given_settings: dict[str, Any] = {"tools": ("refund",), "max_tokens": 500} | settings
    return Conversation(
        model="m",
        system=f"# Role: {role}\nYou help.",
        turns=tuple(Turn(*turn) for turn in turns),
        tools_text="",
        schema=schema,
        stream=False,
        caching=False,
        digest="0" * 64,
        **given_settings,
    )


ASKED = ("user", "Where is order T-7?")


def test_the_first_script_that_fits_is_played() -> None:
    assert play(talk(ASKED), SCRIPTS).text == "Looking at T-7unknown."
    assert play(talk(("user", "order T-7 urgent")), SCRIPTS).text == "Looking at T-7 urgent."
    assert play(talk(("user", "hello")), SCRIPTS).text == NO_SCRIPT


def test_turns_are_chosen_by_what_the_model_has_said() -> None:
    said = (ASKED, ("assistant", "Looking."))
    reply = play(talk(*said, ("tool", "paid EUR 1,250.50")), SCRIPTS)
    assert [(call.name, call.arguments) for call in reply.calls] == [
        ("refund", {"amount": 1250.5, "note": "EUR 1,250.50"})
    ]
    assert reply.finish == "tool_calls"
    assert play(talk(*said, ("tool", "paid EUR 3, denied")), SCRIPTS).text == "Declined."
    assert "'first'" in play(talk(*said, ("tool", "nothing foreseen")), SCRIPTS).text
    for further in (2, 3, 9):
        assert play(talk(ASKED, *[("assistant", "x"), ("tool", "y")] * further), SCRIPTS).text == "Bye."


def test_a_case_looks_at_what_came_last_only() -> None:
    turns = (ASKED, ("tool", "denied"), ("assistant", "x"), ("tool", "paid EUR 5"), ("user", "go on"))
    assert play(talk(*turns), SCRIPTS).calls[0].arguments == {"amount": 5, "note": "EUR 5"}


def test_the_latest_capture_wins() -> None:
    turns = (ASKED, ("assistant", "It was lost"), ("tool", "EUR 1 then EUR 2 late"))
    reply = play(talk(*turns, role="planner", schema=SCHEMA), SCRIPTS)
    assert reply.answer == {"goal": "T-7 late", "steps": [{"do": "pay 2"}]}


def test_the_observer_judges_by_the_whole_conversation() -> None:
    turns = (ASKED, ("assistant", "Declined."), ("user", "judge"))
    assert play(talk(*turns, role="observer", schema=SCHEMA), SCRIPTS).answer == {"verdict": "escalate"}
    assert play(talk(ASKED, role="observer", schema=SCHEMA), SCRIPTS).answer == {"verdict": "complete"}


def test_a_list_of_answers_goes_on_to_its_last() -> None:
    for said, verdict in ((0, "go on"), (1, "complete"), (5, "complete")):
        turns = [("user", "order"), *[("assistant", "x")] * said]
        assert play(talk(*turns, role="observer", schema=SCHEMA), SCRIPTS).answer == {"verdict": verdict}


@pytest.mark.parametrize("role", ["judge", "planner", "router", "never-heard-of"])
def test_a_role_without_script_gets_what_its_schema_asks(role: str) -> None:
    for user in ("order", "hello"):
        assert play(talk(("user", user), role=role, schema=SCHEMA), SCRIPTS).answer == {"verdict": "complete"}


def test_a_conversation_without_script_is_planned_answered_and_handed_to_a_person() -> None:
    for role, schema in (("planner", PLAN_SCHEMA), ("observer", OBSERVATION_SCHEMA)):
        answer = play(talk(("user", "hello"), role=role, schema=schema), SCRIPTS).answer
        jsonschema.validate(answer, schema)
        assert answer == ANSWERS[role]
    assert ANSWERS["observer"]["summary"] == NO_SCRIPT
    odd = {"type": "object", "properties": {"goal": {"type": "integer"}}, "required": ["goal"]}
    assert play(talk(("user", "hello"), role="planner", schema=odd), SCRIPTS).answer == {"goal": 1}


def test_the_role_is_in_the_first_line() -> None:
    assert talk(role="planner").role == "planner"
    assert replace(talk(), system="You help.\n# Role: planner").role == "executor"
    assert replace(talk(), system="").role == "executor"


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.text(max_size=30)), max_size=8))
def test_an_answer_follows_from_the_conversation_alone(turns: list[tuple[str, str]]) -> None:
    for role in ("executor", "planner", "observer"):
        for schema in (None, SCHEMA):
            conversation = talk(ASKED, *turns, role=role, schema=schema)
            reply = play(conversation, SCRIPTS)
            assert reply == play(conversation, SCRIPTS)
            assert (reply.answer is None) == (schema is None)
            for kind in FaultKind:
                broken = distort(reply, Fault(kind=kind), conversation)
                assert broken == distort(reply, Fault(kind=kind), conversation)
                if schema is None:
                    messages.events(conversation, broken)
                    completions.events(conversation, broken)


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("{n:number}", 12),
        ("{f:number}", 1250.5),
        ("{w:number}", None),
        ("{gone:number}", None),
        ("{n}", "12"),
        ("{n:number} EUR", "12 EUR"),
        ("{gone}", "unknown"),
        ({"a": ["{n:number}", True, 4]}, {"a": [12, True, 4]}),
    ],
)
def test_placeholders_are_filled(written: object, filled: object) -> None:
    assert fill_in(written, {"n": "12", "f": "1,250.50", "w": "word"}) == filled


LEAF = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 20},
        {"type": "string", "maxLength": 3},
        {"type": "string", "format": "date"},
        {"type": "integer", "minimum": 3},
        {"type": "integer", "maximum": -3},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "boolean"},
        {"enum": ["a", "complete"]},
        {"const": 4},
        {"type": ["null", "string"]},
        {"anyOf": [{"type": "null"}, {"type": "integer"}]},
        {"$ref": "#/$defs/node"},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
    ]
)
SCHEMAS = st.recursive(
    LEAF,
    lambda inner: (
        st.builds(lambda item: {"type": "array", "items": item, "minItems": 1}, inner)
        | st.dictionaries(st.sampled_from("abcd"), inner, min_size=1).map(
            lambda known: {"type": "object", "properties": known, "required": sorted(known)[:2]}
        )
    ),
    max_leaves=6,
)
NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["name", "next"],
}


@given(SCHEMAS)
def test_the_filler_fits_its_schema(schema: dict[str, Any]) -> None:
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"], "$defs": {"node": NODE}}
    jsonschema.validate(fill(whole), whole)


def test_ordered_faults_are_met_in_order_and_end() -> None:
    queue = FaultQueue()
    queue.order(Fault(kind=FaultKind.RESET), 2)
    queue.order(Fault(kind=FaultKind.HTML))
    kinds = [fault.kind if fault else None for fault in (queue.take() for _ in range(4))]
    assert kinds == [FaultKind.RESET, FaultKind.RESET, FaultKind.HTML, None]


@given(st.text(alphabet="0123456789abcdef", min_size=64, max_size=64))
def test_latency_stays_in_its_range(digest: str) -> None:
    assert 0.2 <= Fault(kind=FaultKind.LATENCY, min=0.2, max=0.4).wait(digest) <= 0.4


@pytest.mark.parametrize("text", ["lost parcel", ""])
def test_a_vector_is_the_same_every_time(text: str) -> None:
    assert vector(text, 64) == vector(text.upper(), 64)
    assert any(vector(text, 64)) is bool(text)


USER = {"role": "user", "content": "hi"}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {}}]}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "1", "function": {"name": "t", "arguments": "{}"}}],
}


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": [USER]},
        {"max_tokens": 5, "messages": [USER]},
        {"model": "m", "max_tokens": 5, "messages": []},
        {"model": "m", "max_tokens": 5, "messages": [{"role": "system", "content": "x"}]},
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": " "}]},
        {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": []}]},
        {"model": "m", "max_tokens": 5, "messages": [USER, USE]},
        {"model": "m", "max_tokens": 5, "messages": [USER, USE, USER]},
    ],
)
def test_messages_that_anthropic_would_refuse_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        messages.read(body, run="")


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [USER]},
        {"model": "m", "messages": []},
        {"model": "m", "messages": [USER, CALL]},
        {"model": "m", "messages": [USER, CALL, USER]},
        {"model": "m", "messages": [USER, {"role": "tool", "tool_call_id": "9", "content": "x"}]},
    ],
)
def test_completions_that_openai_would_refuse_are_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        completions.read(body, run="")


@pytest.mark.parametrize("role", ["planner", "observer", "judge", "router", "coordinator"])
def test_each_role_that_answers_by_an_object_can_be_scripted(role: str) -> None:
    text = f"[{{name: one, when: {{user: order}}, {role}: {{verdict: as written}}}}]"
    turn = talk(("user", "order"), role=role, schema=SCHEMA)
    assert play(turn, parse_scripts(text, source="test")).answer == {"verdict": "as written"}
