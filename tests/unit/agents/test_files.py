"""Agent files: what is refused, where, and in which words."""

from pathlib import Path
from typing import Any

import pytest
import yaml

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
        "limits.turns: Input should be greater than or equal to 1",
    ),
    "no duration": ("2m", "soon", 11, "limits.seconds: 'soon' is no duration: write 90s, 15m, 2h or 1d."),
    "tool that is missing": ("tests.tools.pay", "tests.tools.play", 10, "tools.1.python: There is no tool"),
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
        "then: ask",
        15,
        "policy.1.then: Input should be 'allow', 'require' or 'deny'",
    ),
    "rule for a missing tool": (
        "tool: pay",
        "tool: play",
        13,
        "policy.0.tool: the rule names the tool 'play'",
    ),
    "model without provider": ("scripted:test", "gpt", 7, "models.executor: write a model as provider:model"),
    "unknown provider": (
        "scripted:test",
        "acme:gpt",
        7,
        "models.executor.provider: Input should be 'anthropic'",
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


def test_every_mistake_has_its_line() -> None:
    with pytest.raises(BadConfig) as caught:
        parse(GOOD.replace("turns: 5", "turns: 0").replace("then: require", "then: ask"), source="x.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["x.yaml:11", "x.yaml:15"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is a mapping"),
        ("- a\n- b\n", "is a mapping"),
        ("agent: a\n", "purpose: Field required"),
        ("agent: a\nx: &x [1]\ny: *x\n", "aliases"),
        ("agent: a\npurpose: !!python/object:os.system x\n", "this is not YAML"),
        ("agent: a\npurpose: \x00\n", "this is not YAML"),
        ("agent: a\npurpose: 2026-13-45\n", "this is not YAML"),
        ("a: " + "[" * 2000, "this is not YAML"),
        ("? [1, 2]\n: x\n", "this is not YAML"),
    ],
)
def test_what_is_no_agent_file_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        parse(text)


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
