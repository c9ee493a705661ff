"""There is one way to a tool's code."""

import re
from pathlib import Path

import pytest

import agents

FLOOR = Path(agents.__file__).parent


@pytest.mark.req("TOOL-1", "APR-1")
def test_tools_are_run_in_one_place() -> None:
    runs = re.compile(r"\.run\((context|self\.context|\w*context)\b")
    found = {str(path.relative_to(FLOOR)) for path in FLOOR.rglob("*.py") if runs.search(path.read_text())}
    performs = {
        str(path.relative_to(FLOOR))
        for path in FLOOR.rglob("*.py")
        if re.search(r"(?<!def )\bperform\(", path.read_text())
    }
    assert found == {"runtime/performing.py"}
    assert performs == {"runtime/execution.py", "runtime/reads.py"}
