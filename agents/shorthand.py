"""Parts of a configuration as people write them: models and rules in short, times with their units, all in one line."""

from typing import Any

import yaml

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def in_line(value: dict[str, Any]) -> str:
    """A part of a configuration in one line, as people write it."""
    return yaml.dump(
        value,
        Dumper=yaml.SafeDumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
        default_flow_style=True,
    ).strip()


def as_list(items: list[Any]) -> str:
    """A list over several lines, each item beginning with a dash."""
    return yaml.dump(items, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, width=100)


def short_model(model: dict[str, Any]) -> str | dict[str, Any]:
    """`provider:model` where nothing else is said of a model."""
    return f"{model['provider']}:{model['model']}" if model.keys() == {"provider", "model"} else model


def short_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule whose time is written as people write it."""
    return rule | {"expires": as_duration(rule["expires"])} if rule.get("expires") else rule


def as_duration(seconds: int) -> str:
    """`90s`, `15m`, `2h` or `1d`: the longest unit that says it exactly."""
    unit, letter = next((unit, letter) for unit, letter in _UNITS if seconds % unit == 0)
    return f"{seconds // unit}{letter}"


def short_tool(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool's entry whose times and lookups are written as people write them."""
    kind = next(iter(tool))
    if kind == "python":
        return _short_options(tool)
    source = _short_options(tool[kind])
    if "options" in source:
        source["options"] = {name: _short_options(options) for name, options in source["options"].items()}
    return {kind: source}


def short_config(config: dict[str, Any]) -> dict[str, Any]:
    """A whole configuration likewise."""
    short = dict(config)
    if "models" in config:
        short["models"] = {role: short_model(model) for role, model in config["models"].items()}
    if "seconds" in config.get("limits", {}):
        short["limits"] = config["limits"] | {"seconds": as_duration(config["limits"]["seconds"])}
    if "tools" in config:
        short["tools"] = [short_tool(tool) for tool in config["tools"]]
    if "policy" in config:
        short["policy"] = [short_rule(rule) for rule in config["policy"]]
    return short


def _short_options(options: dict[str, Any]) -> dict[str, Any]:
    times = {name: as_duration(options[name]) for name in ("cache", "fresh") if options.get(name)}
    if "checks" in options:
        return (
            options
            | times
            | {"checks": {name: _short_check(each) for name, each in options["checks"].items()}}
        )
    return options | times


def _short_check(check: dict[str, Any]) -> dict[str, Any]:
    exists = check.get("exists", {})
    return check | {"exists": exists["tool"]} if exists.keys() == {"tool"} else check
