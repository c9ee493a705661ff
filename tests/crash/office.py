"""`python -m tests.crash.office FOLDER`: a team at work while services come and go, in place of web server and browsers.

It keeps runs in flight and approves what they ask, until FOLDER/close exists; then it lets all runs end and leaves. What it
sees goes to FOLDER/report after each round. A database that is away is an error that it repeats; anything else ends it.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

django.setup()

from django.db import Error, connection  # noqa: E402
from psycopg import OperationalError  # noqa: E402

from agents.decisions import decide  # noqa: E402
from agents.models import Run, ToolCall  # noqa: E402
from agents.states import FINAL_RUN  # noqa: E402
from approvals.models import Approval  # noqa: E402
from tests import world  # noqa: E402
from tests.waiting import until  # noqa: E402

IN_FLIGHT = 6


class Office:
    """What happened so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acts = 0  # starts and decisions that were done
        self.slowest = 0.0  # of them (s)
        self.refused = 0  # for want of a database

    def work(self) -> bool:
        """One round; whether all is done and the office closes."""
        try:
            closing = (self.folder / "close").exists()
            unfinished = Run.objects.exclude(status__in=FINAL_RUN).count()
            if not closing and unfinished < IN_FLIGHT:
                self._timed(lambda: world.start("payer", trusted_input=True))
            for request in Approval.objects.filter(status="pending"):
                self._approve(request)
            self._report()
        except (Error, OperationalError):
            self.refused += 1
            connection.close()
            return False
        return closing and not unfinished

    def _approve(self, request: Approval) -> None:
        actor = world.operator()
        self._timed(
            lambda: decide(approval_id=request.pk, actor=actor, decision="approve", digest=request.digest)
        )

    def _timed(self, act: Callable[[], Any]) -> None:
        before = time.monotonic()
        act()
        self.acts += 1
        self.slowest = max(self.slowest, time.monotonic() - before)

    def _report(self) -> None:
        report = {
            "acts": self.acts,
            "slowest": self.slowest,
            "refused": self.refused,
            "runs": Counter(
                f"{status} {reason}" for status, reason in Run.objects.values_list("status", "reason")
            ),
            "started": Run.objects.count(),
            "completed": Run.objects.filter(status="completed").count(),
            "calls": [str(call) for call in ToolCall.objects.values_list("pk", flat=True)],
        }
        draft = self.folder / "report.new"
        draft.write_text(json.dumps(report))
        draft.rename(self.folder / "report")


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    world.publish_agent("payer", tools=[{"python": "tests.tools.pay_once"}])
    until(Office(Path(sys.argv[1])).work, "all runs end", seconds=150)
