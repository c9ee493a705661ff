"""Where a process is to die: the exact points of the engine at which it kills itself.

Nothing of this is in the product: a process that a test starts wraps the engine's own functions before it works.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.scripted import Scripted
from agents.runtime import (
    claiming,
    ending,
    execution,
    journal,
    judging,
    recovery,
    settling,
    thinking,
    turns,
)
from agents.tools.spec import Tool, ToolContext
from tests import tools
from traces.statement import Statement

WRITERS = (thinking, turns, judging, settling, claiming, execution, recovery, ending)

_now = threading.local()  # .step: what the transaction of this thread belongs to


@dataclass(frozen=True)
class Point:
    """Before or after a step: a label of `journal.entry` or of `committing` (its COMMIT), `ask ROLE`, or `effect`."""

    step: str
    moment: str  # before, after

    def __str__(self) -> str:
        return f"{self.moment} {self.step}"


@dataclass
class Fate:
    """Kills this process when it comes to `point` for the `nth` time, and leaves word of it in `mark`."""

    point: Point
    mark: Path
    nth: int = 1

    def reach(self, step: str, moment: str) -> None:
        """Die here, if this is the point."""
        if self.point != Point(step, moment):
            return
        self.nth -= 1
        if self.nth == 0:
            self.mark.write_text(str(self.point))
            os.kill(os.getpid(), signal.SIGKILL)

    def rule(self) -> None:
        """Watch every COMMIT of the engine, and every effect, of this process from now on."""
        commit = BaseDatabaseWrapper._commit  # type: ignore[attr-defined]

        def watched(wrapper: Any) -> None:
            step = getattr(_now, "step", "")
            self.reach(step, "before")
            commit(wrapper)
            self.reach(step, "after")

        BaseDatabaseWrapper._commit = watched  # type: ignore[attr-defined]
        execute = Statement.execute

        def written(statement: Statement) -> Any:
            if connection.in_atomic_block:
                return execute(statement)
            step = getattr(_now, "step", "")
            self.reach(step, "before")
            answers = execute(statement)
            self.reach(step, "after")
            return answers

        Statement.execute = written  # type: ignore[method-assign,assignment]
        for module in WRITERS:
            module.entry = entry  # type: ignore[attr-defined]
        for name in ("pay", "pay_once"):
            setattr(tools, name, self._watched(getattr(tools, name)))

    def _watched(self, tool: Tool) -> Tool:
        def run(context: ToolContext, arguments: dict[str, Any]) -> Any:
            self.reach("effect", "before")
            result = tool.run(context, arguments)
            self.reach("effect", "after")
            return result

        return replace(tool, run=run)


class Doomed(Scripted):
    """A scripted model whose caller may die before it asks, or with the answer in its hands."""

    def __init__(self, fate: Fate, script: Any) -> None:
        super().__init__(script)
        self.fate = fate

    def complete(self, request: ModelRequest, **options: Any) -> ModelResponse:
        step = f"ask {request.metadata['role']}"
        self.fate.reach(step, "before")
        response = super().complete(request, **options)
        self.fate.reach(step, "after")
        return response


@contextmanager
def committing(step: str) -> Iterator[None]:
    """Name what is committed in the block."""
    _now.step = step
    try:
        yield
    finally:
        _now.step = ""


@contextmanager
def entry(run: Any, label: str, **values: Any) -> Iterator[Any]:
    """`journal.entry`, whose COMMIT has the name `label`."""
    with committing(label), journal.entry(run, label, **values) as seen:
        yield seen
