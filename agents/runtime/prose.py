"""Calls that a model wrote out as text: nothing was called, whatever the text says."""

import re
from collections.abc import Collection

NAME = re.compile(r'"(?:name|tool|function)"\s*:\s*"([^"]{1,128})"')
ARGUMENTS = re.compile(r'"(?:arguments|parameters|input)"\s*:')


def written_call(text: str, tools: Collection[str]) -> str:
    """The tool that `text` names as a call would; empty where it writes out none of `tools`."""
    if not ARGUMENTS.search(text):
        return ""
    return next((name for name in NAME.findall(text) if name in tools), "")
