"""The tools that can be offered for choice: those of the examples, and those that agents have already."""

import importlib
import importlib.util
import pkgutil
from functools import cache

from agents import examples
from agents.exceptions import BadConfig
from agents.models import Agent
from agents.tools.registry import load_tool
from agents.tools.spec import Tool


def known_tools() -> dict[str, Tool]:
    """Tools by dotted path, in order of path. A tool that is gone is left out."""
    found = dict(_of_examples())
    for config in Agent.objects.exclude(live_version=None).values_list("live_version__config", flat=True):
        for reference in config.get("tools", []):
            if "python" not in reference:
                continue
            try:
                found[reference["python"]] = load_tool(reference["python"])
            except BadConfig:
                continue
    return dict(sorted(found.items()))


@cache
def _of_examples() -> dict[str, Tool]:
    found: dict[str, Tool] = {}
    for package in pkgutil.iter_modules(examples.__path__, prefix=f"{examples.__name__}."):
        if package.ispkg and importlib.util.find_spec(f"{package.name}.tools"):
            module = importlib.import_module(f"{package.name}.tools")
            found |= {
                f"{module.__name__}.{name}": tool
                for name, tool in vars(module).items()
                if isinstance(tool, Tool)
            }
    return found
