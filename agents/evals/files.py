"""Suites as files, beside those of the agents."""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents.config.wording import mistakes
from agents.evals.config import SuiteConfig
from agents.exceptions import BadConfig, require_none
from agents.files import load, located, read_text

_NAME = re.compile(r"\A[a-z][a-z0-9_-]{0,63}\Z")


def parse(text: str, *, source: str = "suite file") -> tuple[str, SuiteConfig]:
    """The suite's name and what is in it. Raises BadConfig, which names source, line and key."""
    document, lines = load(text, source=source)
    if not isinstance(document, dict):
        raise BadConfig(f"{source}: a suite file is a mapping that begins with `suite: NAME`.")
    name = document.pop("suite", None)
    if not isinstance(name, str) or not _NAME.match(name):
        line = lines.get(("suite",), 1)
        raise BadConfig(
            f"{source}:{line}: suite: name the suite, in lower-case letters, digits, - and _, "
            "beginning with a letter."
        )
    try:
        return name, _checked(document)
    except BadConfig as error:
        raise BadConfig(located(error, lines, source), errors=error.errors) from error


def read_file(path: str | Path) -> tuple[str, SuiteConfig]:
    """What `parse` makes of a file. Raises BadConfig, also where it can't be read."""
    return parse(read_text(path), source=str(path))


def _checked(document: dict[str, Any]) -> SuiteConfig:
    try:
        config = SuiteConfig.model_validate(document)
        json.dumps(document, allow_nan=False, default=str)
    except ValidationError as error:
        require_none(mistakes(error))
        raise
    except ValueError as error:
        raise BadConfig("it holds .nan or .inf, for which JSON has no word.") from error
    names = [case.case for case in config.cases]
    require_none(
        [
            {"path": ["cases", place, "case"], "message": f"a case before is named {name!r} already."}
            for place, name in enumerate(names)
            if name in names[:place]
        ]
    )
    return config
