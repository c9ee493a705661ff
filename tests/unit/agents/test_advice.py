"""What people are told of a configuration before it is live."""

from typing import Any

import pytest

from agents.advice import loosened, unknown_arguments, warnings
from agents.config import AgentConfig, PolicyRule
from agents.tools.registry import tools_of


def config(*policy: dict[str, Any], **changes: Any) -> AgentConfig:
    values: dict[str, Any] = {
        "purpose": "Pays.",
        "instructions": "Pay.",
        "models": {"executor": "scripted:test"},
        "tools": [
            {"python": f"tests.tools.{name}"} for name in ("get_balance", "add_note", "pay", "pay_once")
        ],
        "policy": policy,
    }
    return AgentConfig.model_validate(values | changes)


PAY = "pay can't be undone and would run without asking a person, by the rule: "


@pytest.mark.req("AGT-1", "APR-5")
@pytest.mark.parametrize(
    ("policy", "tools"),
    [
        ([], []),
        ([{"then": "allow"}], ["pay", "pay_once"]),
        ([{"effect": "irreversible", "then": "allow"}], ["pay", "pay_once"]),
        ([{"tool": "pay", "then": "allow"}], ["pay"]),
        ([{"tool": "pay", "when": "true", "then": "allow"}], ["pay"]),
        ([{"when": 'tool == "pay"', "then": "allow"}], ["pay"]),
        ([{"effect": "reversible", "then": "allow"}], []),
        ([{"tool": "pay", "when": "arguments.amount <= 5.0", "then": "allow"}], []),
        ([{"tool": "pay", "when": "!tainted", "then": "allow"}], []),
        ([{"tool": "pay", "then": "require"}, {"then": "allow"}], ["pay_once"]),
        ([{"tool": "pay", "then": "deny"}, {"then": "allow"}], ["pay_once"]),
        (
            [
                {"tool": "pay", "when": "arguments.amount > 5.0", "then": "require"},
                {"tool": "pay", "then": "allow"},
            ],
            ["pay"],
        ),
    ],
)
def test_what_can_not_be_undone_and_asks_nobody_is_told(
    policy: list[dict[str, Any]], tools: list[str]
) -> None:
    told = loosened(config(*policy))
    assert [sentence.split()[0] for sentence in told] == tools
    if policy and tools == ["pay"]:
        assert told[0].startswith(PAY)


def test_what_was_so_before_is_not_told_again() -> None:
    before = config({"tool": "pay", "then": "allow"})
    assert loosened(before, before) == []
    assert [line.split()[0] for line in loosened(config({"then": "allow"}), before)] == ["pay_once"]
    gone = config(tools=[{"python": "tests.tools.gone"}])
    assert loosened(before, gone) == [f"{PAY}pay: allow."]


def test_a_policy_that_loses_all_its_rules_is_told() -> None:
    before = config({"tool": "pay", "then": "deny"})
    assert loosened(config(), before) == [
        "The policy had rules and has none now: reads are allowed, and all else asks one operator."
    ]
    assert loosened(config(), config()) == []


@pytest.mark.req("RUN-2")
def test_a_model_without_a_price_is_told_once() -> None:
    models = {
        "executor": "openai:made-up",
        "planner": "openai:made-up",
        "observer": "anthropic:claude-haiku-4-5",
    }
    assert warnings(config(models=models)) == [
        "No price is known for openai:made-up, so the cost limit can't be kept; the token limit holds."
    ]
    assert warnings(config()) == []


@pytest.mark.req("AGT-1")
@pytest.mark.parametrize(
    ("tool", "when", "told"),
    [
        ("pay", "arguments.amount <= 5.0 && !tainted", []),
        ("pay", "arguments.ammount <= 5.0", ["'ammount', which pay doesn't have; did you mean 'amount'?"]),
        (
            "pay",
            'has(arguments.acount) || arguments["x"] > 1',
            ["did you mean 'account'?", "known: account, amount."],
        ),
        ("pay", "arguments['ammount'] > 1", ["did you mean 'amount'?"]),
        ("pay", "arguments.text == ''", ["known: account, amount."]),
        ("", "arguments.text == '' || arguments.amount > 1", []),
        ("", "arguments.txt == ''", ["which no tool of the agent has; did you mean 'text'?"]),
        ("pay", "subject.arguments_x == 1", []),
        ("", "", []),
    ],
)
def test_an_argument_that_no_tool_has_is_found(tool: str, when: str, told: list[str]) -> None:
    tools = tools_of(config()).values()
    found = unknown_arguments(PolicyRule(tool=tool, when=when, then="deny"), tools)
    assert len(found) == len(told)
    for sentence, words in zip(found, told, strict=True):
        assert sentence.endswith(words)


@pytest.mark.req("TOOL-9")
def test_a_tool_that_nobody_could_undo_is_told_of() -> None:
    book, cancel = {"python": "tests.reversible.book_seat"}, {"python": "tests.reversible.cancel_seat"}
    assert warnings(config(tools=[book, cancel])) == []
    assert warnings(config(tools=[book])) == [
        "book_seat can be undone by cancel_seat, which the agent doesn't have: grant it, so that people can undo."
    ]
