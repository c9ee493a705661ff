"""What a person should know of a configuration before it is live. Pure: it reads the configuration and no database."""

import re
from collections.abc import Iterable

from agents.config import AgentConfig, PolicyRule
from agents.exceptions import BadConfig
from agents.nearest import hint
from agents.providers.base import Usage
from agents.providers.pricing import PRICED_PROVIDERS, cost_usd
from agents.tools.registry import tools_of
from agents.tools.spec import Effect, Tool
from agents.tools.undo import wrong_template
from approvals.digest import digest_of
from approvals.policy import Action, Outcome, Verdict, evaluate

_ARGUMENT = re.compile(r"""\barguments(?:\.([A-Za-z_]\w*)|\[\s*(?:"([^"]*)"|'([^']*)')\s*\])""")


def warnings(config: AgentConfig, before: AgentConfig | None = None) -> list[str]:
    """All that is worth a second look, one sentence each; `before` is what is live now."""
    return [*loosened(config, before), *_unpriced(config), *_without_way_back(config)]


def loosened(config: AgentConfig, before: AgentConfig | None = None) -> list[str]:
    """What `config` no longer asks people about and `before` did; without `before`, what the default asks about."""
    told = []
    kept = _unasked(before) if before else {}
    for tool, verdict in _unasked(config).items():
        if tool not in kept:
            told.append(
                f"{tool} can't be undone and would run without asking a person, by the rule: {verdict.rule}."
            )
    if before is not None and before.policy and not config.policy:
        told.append(
            "The policy had rules and has none now: reads are allowed, and all else asks one operator."
        )
    return told


def confirmation(loosened: list[str]) -> str:
    """What a form sends back when a person was shown all of `loosened` and agrees; another list has another."""
    return digest_of({"loosened": loosened})


def unknown_arguments(rule: PolicyRule, tools: Iterable[Tool]) -> list[str]:
    """Arguments that the rule's condition names and none of `tools` has, each in a sentence with the nearest name.

    A tool whose schema is open takes any argument, so then every name is known.
    """
    schemas = [tool.parameters for tool in tools if rule.tool in ("", tool.name)]
    if not schemas or any(schema.get("additionalProperties", True) is not False for schema in schemas):
        return []
    known = sorted({name for schema in schemas for name in schema.get("properties", {})})
    named = dict.fromkeys("".join(groups) for groups in _ARGUMENT.findall(rule.when))
    return [
        f"the condition names the argument {name!r}, which {_owner(rule)}; {hint(name, known)}"
        for name in named
        if name not in known
    ]


def _owner(rule: PolicyRule) -> str:
    return f"{rule.tool} doesn't have" if rule.tool else "no tool of the agent has"


def _unasked(config: AgentConfig) -> dict[str, Verdict]:
    """The irreversible tools that some call of which nothing is known gets past people, and by which rule."""
    try:
        tools = tools_of(config)
    except BadConfig:  # a tool of it is gone: it can't be published, and vouches for nothing
        return {}
    # A rule that asks or denies on a condition leaves room beside it, so that only unconditional ones hold a call up.
    rules = [rule for rule in config.rules() if rule.then is Outcome.ALLOW or not rule.when]
    verdicts = {
        name: evaluate(
            Action(
                tool=name,
                effect=tool.effect,
                arguments={},
                category=tool.category,
                egress=tool.egress,
                tainted=True,
            ),
            rules,
        )
        for name, tool in tools.items()
        if tool.effect is Effect.IRREVERSIBLE
    }
    return {name: verdict for name, verdict in verdicts.items() if verdict.outcome is Outcome.ALLOW}


def _unpriced(config: AgentConfig) -> list[str]:
    models = [config.models.for_role(role) for role in ("executor", "planner", "observer")]
    told = [
        f"No price is known for {model}, so the cost limit can't be kept; the token limit holds."
        for model in models
        if model.provider in PRICED_PROVIDERS
        and cost_usd(model.provider, model.model, Usage(input=1, output=1)) is None
    ]
    return list(dict.fromkeys(told))


def _without_way_back(config: AgentConfig) -> list[str]:
    """Tools whose code names one that takes their calls back, which the agent can't use for it."""
    try:
        tools = tools_of(config)
    except BadConfig:
        return []
    told = []
    for name, tool in tools.items():
        if tool.undo and tool.undo[0] not in tools:
            told.append(
                f"{name} can be undone by {tool.undo[0]}, which the agent doesn't have: grant it, so that people can undo."
            )
        elif tool.undo and (wrong := wrong_template(tool, tools[tool.undo[0]], tool.undo[1])):
            told.append(f"{name} can't be undone by {tool.undo[0]}: {wrong}")
    return told
