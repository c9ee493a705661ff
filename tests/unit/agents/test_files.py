"""Agent files: what is refused, where, and in which words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.config import AgentConfig
from agents.exceptions import BadConfig
from agents.files import as_yaml, parse, read_file

GOOD = """\
agent: teller
purpose: Pays what is owed.
instructions: |
  Look first.
    Then pay.
models:
  executor: "scripted:test"
tools:
  - python: tests.tools.get_balance
  - python: tests.tools.pay
limits: {turns: 5, seconds: 2m}
policy:
  - {tool: pay, when: "arguments.amount <= 50.0 && !tainted", then: allow}
  - effect: irreversible
    then: require
    expires: 15m
"""


@pytest.mark.req("AGT-1")
def test_a_good_file_is_a_name_and_a_configuration() -> None:
    name, config = parse(GOOD)
    assert name == "teller"
    assert config["limits"] == {"turns": 5, "seconds": "2m"}
    assert "agent" not in config


@pytest.mark.req("AGT-2")
def test_writing_and_reading_give_the_same() -> None:
    name, config = parse(GOOD)
    written = as_yaml(name, config)
    assert "instructions: |\n  Look first.\n    Then pay.\n" in written
    assert "executor: scripted:test" in written
    assert as_yaml(*parse(written)) == written


MISTAKES: dict[str, tuple[str, str, int, str]] = {
    "misspelt key": ("purpose:", "purpos:", 2, "purpos: unknown key 'purpos'; did you mean 'purpose'?"),
    "misspelt inner key": (
        "turns: 5",
        "turn: 5",
        11,
        "limits.turn: unknown key 'turn'; did you mean 'turns'?",
    ),
    "number out of bounds": (
        "turns: 5",
        "turns: 0",
        11,
        "limits.turns: write at least 1.",
    ),
    "no duration": ("2m", "soon", 11, "limits.seconds: 'soon' is no duration: write 90s, 15m, 2h or 1d."),
    "tool that is missing": (
        "tests.tools.pay",
        "tests.tools.pya",
        10,
        "tools.1.python: There is no tool 'tests.tools.pya' (module 'tests.tools' has no attribute 'pya'). Did you mean 'tests.tools.pay'?",
    ),
    "no tool": (
        "tests.tools.pay",
        "tests.tools.ledger",
        10,
        "tools.1.python: 'tests.tools.ledger' is not a tool",
    ),
    "relative tool": ("tests.tools.pay", "..tools.pay", 10, "tools.1.python: There is no tool"),
    "tool named twice": ("tests.tools.pay", "tests.tools.get_balance", 8, "tools: the tool"),
    "bad condition": ("!tainted", "&&", 13, "policy.0.when: the condition"),
    "unknown outcome": (
        "then: require",
        "then: perhaps",
        15,
        "policy.1.then: 'perhaps' is not known; known: allow, require, deny, mask.",
    ),
    "rule for a missing tool": (
        "tool: pay",
        "tool: play",
        13,
        "policy.0.tool: the rule names the tool 'play', which the agent doesn't have; did you mean 'pay'?",
    ),
    "model without provider": ("scripted:test", "gpt", 7, "models.executor: write a model as provider:model"),
    "unknown provider": (
        "scripted:test",
        "acme:gpt",
        7,
        "models.executor.provider: 'acme' is not known; known: anthropic, openai, scripted.",
    ),
    "key twice": ("purpose:", "agent: again\npurpose:", 2, "the key 'agent' stands here twice."),
    "bad name": ("agent: teller", "agent: The Teller", 1, "agent: name the agent"),
    "broken YAML": ("turns: 5,", "turns: 5", 11, "this is not YAML"),
}


@pytest.mark.req("AGT-1")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_line_key_and_what_would_be_right(name: str) -> None:
    right, wrong, line, words = MISTAKES[name]
    assert right in GOOD
    with pytest.raises(BadConfig) as caught:
        parse(
            GOOD.replace(right, wrong, 1) if "tests.tools" not in right else GOOD.replace(right, wrong),
            source="x.yaml",
        )
    assert str(caught.value).splitlines()[0].startswith(f"x.yaml:{line}: {words}"), str(caught.value)


TOOLS = """\
agent: teller
purpose: Pays what is owed.
pattern: react
instructions: Look first.
models: {executor: "scripted:test"}
tools:
  - python: tests.tools.get_balance
  - python: tests.tools.pay
    checks:
      account: {exists: get_balance}
      amount: {minimum: 1, maximum: 500}
    undo: {tool: get_balance_back, arguments: {account: arguments.account}}
  - http:
      name: get_invoice
      description: An invoice.
      method: GET
      url: "https://invoices.example/{invoice_id}"
      arguments: {invoice_id: string, page: integer}
      required: [invoice_id]
      effect: read
      headers: {X-Team: {credential: team}}
      timeout: 20
      cache: 5m
  - openapi:
      url: https://shop.example/openapi.json
      include: [listOrders]
      effects: {listOrders: read}
      options: {listOrders: {rate_limit: 60}}
  - mcp:
      name: files
      command: [npx, server]
      env: {TOKEN: {credential: files}}
      default_effect: irreversible
policy:
  - {tool: pay, when: "arguments.amount <= 50.0", then: allow}
"""
TOOL_MISTAKES: dict[str, tuple[str, str, int, str]] = {
    "pattern": (
        "pattern: react",
        "pattern: reakt",
        3,
        "pattern: 'reakt' is not known; did you mean 'react'?",
    ),
    "no kind": (
        "  - python: tests.tools.pay",
        "  - pyhton: tests.tools.pay",
        8,
        "tools.1.pyhton: unknown key 'pyhton'; did you mean 'python'?",
    ),
    "method": (
        "method: GET",
        "method: PSOT",
        16,
        "tools.2.http.method: 'PSOT' is not known; did you mean 'POST'?",
    ),
    "method in small letters": (
        "method: GET",
        "method: get",
        16,
        "tools.2.http.method: 'get' is not known; did you mean 'GET'?",
    ),
    "effect": (
        "effect: read\n      headers",
        "effect: raed\n      headers",
        20,
        "tools.2.http.effect: 'raed' is not known; did you mean 'read'?",
    ),
    "effect of a server": (
        "default_effect: irreversible",
        "default_effect: irreversable",
        33,
        "tools.4.mcp.default_effect: 'irreversable' is not known; did you mean 'irreversible'?",
    ),
    "effect of an operation": (
        "effects: {listOrders: read}",
        "effects: {listOrders: none}",
        27,
        "tools.3.openapi.effects.listOrders: 'none' is not known; known: read, reversible, irreversible.",
    ),
    "key of http": (
        "timeout: 20",
        "timeuot: 20",
        22,
        "tools.2.http.timeuot: unknown key 'timeuot'; did you mean 'timeout'?",
    ),
    "key of a check": (
        "minimum: 1,",
        "minium: 1,",
        11,
        "tools.1.checks.amount.minium: unknown key 'minium'; did you mean 'minimum'?",
    ),
    "key of an option": (
        "rate_limit: 60",
        "rate_limits: 60",
        28,
        "tools.3.openapi.options.listOrders.rate_limits: unknown key 'rate_limits'; did you mean 'rate_limit'?",
    ),
    "text for a number": (
        "timeout: 20",
        "timeout: soon",
        22,
        "tools.2.http.timeout: write a number, such as 0.5.",
    ),
    "fraction": (
        "rate_limit: 60",
        "rate_limit: 1.5",
        28,
        "tools.3.openapi.options.listOrders.rate_limit: write a whole number, such as 25.",
    ),
    "too much": ("timeout: 20", "timeout: 6000", 22, "tools.2.http.timeout: write at most 600."),
    "nothing": ("timeout: 20", "timeout: 0", 22, "tools.2.http.timeout: write more than 0."),
    "no duration": (
        "cache: 5m",
        "cache: a while",
        23,
        "tools.2.http.cache: 'a while' is no duration: write 90s, 15m, 2h or 1d.",
    ),
    "text for a list": (
        "command: [npx, server]",
        "command: npx server",
        31,
        "tools.4.mcp.command: write a list:",
    ),
    "list for keys": (
        "effects: {listOrders: read}",
        "effects: [listOrders]",
        27,
        "tools.3.openapi.effects: write keys with values, as in `name: value`.",
    ),
    "text for keys": (
        "undo: {tool: get_balance_back, arguments: {account: arguments.account}}",
        "undo: get_balance_back",
        12,
        "tools.1.undo: write keys with values, as in `name: value`.",
    ),
    "number for a text": (
        "env: {TOKEN: {credential: files}}",
        "env: {TOKEN: 5}",
        32,
        "tools.4.mcp.env.TOKEN: write a text in quotes, or {credential: NAME}; 5 is neither.",
    ),
    "key of a credential": (
        "{credential: team}",
        "{credentials: team}",
        21,
        "tools.2.http.headers.X-Team.credentials: unknown key 'credentials'; did you mean 'credential'?",
    ),
    "missing key": (
        "      description: An invoice.\n",
        "",
        13,
        "tools.2.http.description: this key is missing.",
    ),
    "empty": (
        "description: An invoice.",
        "description: ''",
        15,
        "tools.2.http.description: write something here: it is empty.",
    ),
    "address": (
        "{invoice_id}",
        "{invoice}",
        13,
        "tools.2.http: the address names {invoice}, which is no argument.",
    ),
    "type": (
        "page: integer",
        "page: int",
        18,
        "tools.2.http.arguments: page: there is no type 'int'; choose string,",
    ),
    "two kinds": (
        "  - python: tests.tools.get_balance",
        "  - {python: tests.tools.get_balance, mcp: {name: x, url: 'http://x'}}",
        7,
        "tools.0: a tool has one of the keys python, http, openapi, mcp; here are python and mcp.",
    ),
    "bounds": ("maximum: 500", "maximum: 0", 11, "tools.1.checks.amount: minimum 1 is above maximum 0."),
}


@pytest.mark.req("AGT-1", "TOOL-1")
@pytest.mark.parametrize("name", TOOL_MISTAKES)
def test_a_mistake_about_a_tool_is_named_with_line_key_and_what_would_be_right(name: str) -> None:
    right, wrong, line, words = TOOL_MISTAKES[name]
    assert TOOLS.count(right) == 1
    with pytest.raises(BadConfig) as caught:
        parse(TOOLS.replace(right, wrong), source="x.yaml")
    told = str(caught.value).splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"x.yaml:{line}: {words}"), told[0]


LOCAL = TOOLS[: TOOLS.index("  - http:")] + TOOLS[TOOLS.index("policy:") :]
LINKS: list[tuple[str, str, list[str]]] = [
    (
        "",
        "",
        [
            "x.yaml:12: tools.1.undo.tool: the agent doesn't have the tool 'get_balance_back'; did you mean 'get_balance'?"
        ],
    ),
    (
        "get_balance_back",
        "get_balance",
        ["x.yaml:12: tools.1.undo.arguments: get_balance only reads, so it takes nothing back."],
    ),
    (
        "get_balance}\n      amount:",
        "get_balnce}\n      amuont:",
        [
            "x.yaml:10: tools.1.checks.account.exists: the agent doesn't have the tool 'get_balnce'; did you mean 'get_balance'?",
            "x.yaml:11: tools.1.checks.amuont: there is no argument 'amuont'; did you mean 'amount'?",
            "x.yaml:12: tools.1.undo.tool: the agent doesn't have the tool 'get_balance_back'; did you mean 'get_balance'?",
        ],
    ),
]


@pytest.mark.req("AGT-1", "TOOL-2", "TOOL-9")
@pytest.mark.parametrize(("right", "wrong", "told"), LINKS)
def test_tools_that_name_others_are_checked(right: str, wrong: str, told: list[str]) -> None:
    with pytest.raises(BadConfig) as caught:
        parse(LOCAL.replace(right, wrong) if right else LOCAL, source="x.yaml")
    assert str(caught.value).splitlines() == told


@pytest.mark.req("AGT-1")
def test_all_mistakes_are_told_at_once() -> None:
    text = (
        TOOLS.replace("purpose:", "purpos:")
        .replace("pattern: react", "pattern: reakt")
        .replace("timeout: 20", "timeuot: 0")
        .replace("method: GET", "method: PSOT")
        .replace("then: allow", "then: alow")
    )
    with pytest.raises(BadConfig) as caught:
        parse(text, source="x.yaml")
    assert [line.split(": ")[:2] for line in str(caught.value).splitlines()] == [
        ["x.yaml:2", "purpos"],
        ["x.yaml:3", "pattern"],
        ["x.yaml:16", "tools.2.http.method"],
        ["x.yaml:22", "tools.2.http.timeuot"],
        ["x.yaml:35", "policy.0.then"],
    ]
    policy = GOOD.replace("amount <= 50.0", "amuont <= 50.0").replace(
        "  - effect: irreversible",
        "  - {tool: play, then: deny}\n  - {tool: pay, when: arguments.acount == 'x', then: deny}\n  - effect: irreversible",
    )
    with pytest.raises(BadConfig) as caught:
        parse(policy, source="x.yaml")
    assert str(caught.value).splitlines() == [
        "x.yaml:13: policy.0.when: the condition names the argument 'amuont', which pay doesn't have; did you mean 'amount'?",
        "x.yaml:14: policy.1.tool: the rule names the tool 'play', which the agent doesn't have; did you mean 'pay'?",
        "x.yaml:15: policy.2.when: the condition names the argument 'acount', which pay doesn't have; did you mean 'account'?",
    ]
    gone = GOOD.replace("tests.tools.get_balance", "tests.tools.gone").replace(
        "tests.tools.pay", "tests.tools.ledger"
    )
    with pytest.raises(BadConfig) as caught:
        parse(gone, source="x.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["x.yaml:9", "x.yaml:10"]


@pytest.mark.req("AGT-2", "TOOL-1")
def test_tools_of_every_kind_are_written_as_they_were_read() -> None:
    config: dict[str, Any] = yaml.safe_load(TOOLS)
    name = config.pop("agent")
    written = as_yaml(name, config)
    again = yaml.safe_load(written)
    assert again.pop("agent") == name
    assert AgentConfig.model_validate(again) == AgentConfig.model_validate(config)
    assert as_yaml(name, again) == written
    assert "cache: 5m" in written
    assert "exists: get_balance" in written
    assert "{credential: team}" in written or "credential: team" in written


DOCUMENTED = """\
agent: support
purpose: Answers customers about orders and returns.
pattern: plan_execute
instructions: |
  ...
models:
  executor: {provider: anthropic, model: claude-sonnet-4-5, base_url: null, fallback: ["openai:gpt-4o"], timeout: 30}
  planner: "anthropic:claude-haiku-4-5"
  embeddings: "openai:text-embedding-3-small"
tools:
  - python: agents.examples.support.tools.get_order
  - python: agents.examples.support.tools.issue_refund
  - http: {name: get_invoice, description: d, method: GET, url: "https://x.example/{invoice_id}", arguments: {invoice_id: string}, effect: read}
  - openapi: {url: "https://x.example/openapi.json", include: [listOrders], effects: {createRefund: irreversible}}
  - mcp: {name: shop, command: ["python", "server.py"], env: {}, include: ["*"], effects: {cancel_order: irreversible, get_order: read}, egress: [fetch_url], default_effect: irreversible}
  - mcp: {name: files, url: "http://x.example/mcp", headers: {}, default_effect: irreversible}
limits: {turns: 25, tokens: 50000, cost_usd: 2.0, seconds: 120}
policy:
  - {tool: issue_refund, when: "arguments.amount <= 50.0 && !tainted", then: allow}
  - {effect: irreversible, then: require, approvers: 1, role: operator, expires: 15m}
guardrails: {input_max: 5000, scope: "orders, shipping, returns", verify: off}
memory: {long_term: true, recall: 3}
"""


@pytest.mark.req("AGT-1", "TOOL-1")
def test_every_documented_key_is_known() -> None:
    config: dict[str, Any] = yaml.safe_load(DOCUMENTED)
    name = config.pop("agent")
    parsed = AgentConfig.model_validate(config)
    assert [reference.kind for reference in parsed.tools] == [
        "python",
        "python",
        "http",
        "openapi",
        "mcp",
        "mcp",
    ]
    assert parsed.guardrails.verify == "off"
    again = yaml.safe_load(as_yaml(name, config))
    assert AgentConfig.model_validate({key: again[key] for key in again if key != "agent"}) == parsed


def test_every_mistake_has_its_line() -> None:
    with pytest.raises(BadConfig) as caught:
        parse(GOOD.replace("turns: 5", "turns: 0").replace("then: require", "then: ask"), source="x.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["x.yaml:11", "x.yaml:15"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is a mapping"),
        ("- a\n- b\n", "is a mapping"),
        ("agent: a\n", "purpose: this key is missing"),
        ("agent: a\npurpose: !!python/object:os.system x\n", "this is not YAML"),
        ("a: " + "[" * 2000, "this is not YAML"),
        ("? [1, 2]\n: x\n", "this is not YAML"),
    ],
)
def test_what_is_no_agent_file_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        parse(text)


@pytest.mark.req("AGT-1")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agent: a\nlimits: &few {turns: 1}\n", "2: &few is an anchor, and none are taken: write out what"),
        ("agent: a\n\npurpose: *urgent mail\n", "3: *urgent is an alias, and none are taken: write out what"),
        ("agent: a\npurpose: &Great mail\n", "2: &Great is an anchor, and none are taken: write out what"),
        ("agent: a\nlimits:\n  <<: {turns: 1}\n  turns: 2\n", "3: << merges keys, which is not taken:"),
        ("agent: a\npurpose: \x00\n", "2: this is not YAML: it holds the character U+0000."),
        ("agent: a\nlimits:\n  turns: 2026-13-45\n", "3: this is not YAML: month must be in 1..12."),
        ("agent: a\npurpose: !!python/object:os.system x\n", "2: this is not YAML: could not determine"),
    ],
)
def test_what_is_refused_in_yaml_is_named_with_its_line(text: str, words: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parse(text, source="x.yaml")
    assert str(caught.value).startswith(f"x.yaml:{words}"), caught.value


@pytest.mark.req("AGT-1")
def test_quoted_marks_of_yaml_are_text() -> None:
    assert parse(GOOD.replace("Pays what is owed.", "'&Great and *urgent <<'"))[1]["purpose"] == (
        "&Great and *urgent <<"
    )


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    for path, content in ((tmp_path / "missing.yaml", None), (tmp_path / "latin.yaml", b"agent: \xff")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadConfig, match=path.name):
            read_file(path)


def test_a_model_with_more_to_say_is_written_out() -> None:
    config: dict[str, Any] = yaml.safe_load(GOOD)
    name = config.pop("agent")
    config["models"] = {"executor": {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}}
    assert yaml.safe_load(as_yaml(name, config))["models"]["executor"]["base_url"] == "http://127.0.0.1:9/v1"
