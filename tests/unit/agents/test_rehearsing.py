"""A stand-in has nothing of its tool that could run or hold it back: whoever adds a field to Tool says here which it is."""

from dataclasses import fields
from typing import Any

import pytest

from agents.config import AgentConfig
from agents.exceptions import BadConfig
from agents.memory.scratchpad import SCRATCHPAD
from agents.models import Rehearsal
from agents.runtime.rehearsing import OFF, Script, rehearsed_config, stand_ins, verdict_on
from agents.tools.spec import Effect, Tool
from approvals.policy import Outcome

pytestmark = pytest.mark.req("RUN-9")

REPLACED = {"run", "source", "timeout"}
# What the model is told of the tool, and how its results are read: data, which nobody calls.
KEPT = {
    "name",
    "description",
    "parameters",
    "digest",
    "category",
    "untrusted",
    "polling",
    "returns",
    "when_to_use",
    "when_not_to_use",
}


def boom(*_: Any) -> Any:
    raise AssertionError("the code of the tool's author ran")


def dangerous() -> Tool:
    """A tool of which every field says something."""
    return Tool(
        name="pay",
        description="Pays.",
        parameters={"type": "object"},
        run=boom,
        source="python:shop.pay",
        digest="d",
        effect=Effect.IRREVERSIBLE,
        egress=True,
        permission="pay",
        rate_limit=1,
        retries=3,
        fallback="pay_later",
        cache_seconds=1.0,
        fresh_seconds=1.0,
        title=boom,
        check=boom,
        preview=boom,
        fingerprint=boom,
        suspended="changed",
        undo=("unpay", {}),
        checks={"amount": None},  # type: ignore[dict-item]
        dry_run="look",
        fingerprint_by="look",
        look_up="look",
        lookup=boom,
    )


def script() -> Script:
    return Script(Rehearsal(kind="case"), {}, ())


def test_every_field_of_a_tool_is_replaced_switched_off_or_known_to_be_data() -> None:
    assert {field.name for field in fields(Tool)} == REPLACED | KEPT | OFF.keys()
    tool = stand_ins({"pay": dangerous()}, script(), [])["pay"]
    for name in OFF:
        assert getattr(tool, name) == OFF[name], name
    assert tool.run is not boom
    assert all(getattr(tool, field.name) is not boom for field in fields(Tool))


def test_a_field_that_holds_code_is_never_kept() -> None:
    code = {field.name for field in fields(Tool) if "Callable" in str(field.type)}
    assert {"run", "check", "preview", "lookup"} <= code
    assert not code & KEPT


def test_only_stand_ins_and_gatehouses_own_may_be_called() -> None:
    tools = {"pay": dangerous(), SCRATCHPAD[0].name: SCRATCHPAD[0]}
    rehearsed = stand_ins(tools, script(), [])
    assert rehearsed[SCRATCHPAD[0].name] is SCRATCHPAD[0]
    assert [verdict_on(tool).outcome for tool in rehearsed.values()] == [Outcome.ALLOW] * 2
    assert verdict_on(dangerous()).outcome is Outcome.DENY


def test_a_rehearsed_configuration_asks_nobody_and_keeps_the_rest() -> None:
    config = AgentConfig.model_validate(
        {
            "purpose": "p",
            "instructions": "Look.",
            "plan": {"approve": True},
            "models": {
                "executor": {
                    "provider": "openai",
                    "model": "a",
                    "base_url": "http://h",
                    "fallback": ["scripted:b"],
                }
            },
        }
    )
    plain = rehearsed_config(config, {})
    assert (plain.plan.approve, plain.models, plain.policy) == (False, config.models, config.policy)
    other = rehearsed_config(config, {"model": "anthropic:c", "instructions": "i"}).models.executor
    assert (str(other), other.base_url, other.fallback) == ("anthropic:c", None, ())
    assert rehearsed_config(config, {"model": "openai:c"}).models.executor.base_url == "http://h"


def test_runs_that_have_parts_are_not_rehearsed() -> None:
    config = AgentConfig.model_construct(purpose="p", pattern="coordinator")
    with pytest.raises(BadConfig, match="parts"):
        rehearsed_config(config, {})
