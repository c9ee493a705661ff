"""Whether a configuration can be used: its form, the tools that it names, and what its rules say of them."""

from typing import Any

from pydantic import ValidationError

from agents.advice import unknown_arguments
from agents.config import AgentConfig
from agents.config.wording import mistakes
from agents.exceptions import BadConfig, require_none
from agents.nearest import hint
from agents.tools.registry import ask_sources, tools_of
from agents.tools.spec import Tool


def check_config(config: dict[str, Any]) -> AgentConfig:
    """The configuration with its types. Raises BadConfig, whose errors name each place."""
    try:
        parsed = AgentConfig.model_validate(config)
    except ValidationError as error:
        require_none(mistakes(error))
        raise
    granted, wrong = _granted(parsed)
    require_none(wrong)
    for place, rule in enumerate(parsed.policy):
        if rule.tool and rule.tool not in granted:
            message = f"the rule names the tool {rule.tool!r}, which the agent doesn't have; {hint(rule.tool, granted)}"
            wrong.append({"path": ["policy", place, "tool"], "message": message})
            continue
        wrong += [
            {"path": ["policy", place, "when"], "message": message}
            for message in unknown_arguments(rule, granted.values())
        ]
    require_none(wrong)
    return parsed


def _granted(config: AgentConfig) -> tuple[dict[str, Tool], list[dict[str, Any]]]:
    """The agent's tools, and what is wrong with them: of each at most what was found first."""
    granted: dict[str, Tool] = {}
    wrong: list[dict[str, Any]] = []
    try:
        ask_sources(config)
    except BadConfig as error:
        wrong += error.errors
    told = [mistake["path"][:2] for mistake in wrong]
    try:
        granted = tools_of(config)
    except BadConfig as error:
        wrong += [mistake for mistake in error.errors if mistake["path"][:2] not in told]
    return granted, wrong
