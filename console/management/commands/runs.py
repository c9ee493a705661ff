"""Runs from a shell."""

import json
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.actions import start_run
from agents.exceptions import AgentError
from agents.models import Run
from agents.states import RunStatus
from console.api.runs import is_settled, run_url, shape_run

LOOK_EVERY = 0.3  # s


class Command(BaseCommand):
    """`runs start --wait` ends with 0 when the run is completed, 2 when it waits for a person, else 1."""

    help = "Start runs from a shell."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        start = commands.add_parser("start", help="start a run of an agent")
        start.add_argument("agent", metavar="AGENT")
        start.add_argument("--input", required=True, metavar="TEXT", help="the task")
        start.add_argument(
            "--subject", metavar="JSON", help='on whose behalf, such as {"customer_id": "C-1"}'
        )
        start.add_argument(
            "--wait",
            action="store_true",
            help="until it is final or a person is awaited; exit status 0: completed, 2: a person is awaited, else 1",
        )
        start.add_argument(
            "--json", action="store_true", help="the run as the API tells it, and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = start_run(
                agent=options["agent"], input=options["input"], subject=self._subject(options["subject"])
            )
        except AgentError as error:
            raise CommandError(str(error)) from error
        if options["wait"]:
            run = self._wait(run, quiet=options["json"])
        if options["json"]:
            self.stdout.write(shape_run(run, None).model_dump_json(indent=2))
        else:
            self._tell(run)
        if options["wait"]:
            sys.exit(_exit_status(run))

    def _subject(self, text: str | None) -> dict[str, Any]:
        try:
            subject = json.loads(text or "{}")
        except ValueError as error:
            raise CommandError(f"--subject is not JSON: {error}.") from error
        if not isinstance(subject, dict):
            raise CommandError('--subject is a JSON object, such as {"customer_id": "C-1"}.')
        return subject

    def _wait(self, run: Run, *, quiet: bool) -> Run:
        seen = ""
        while True:
            if run.status != seen and not quiet:
                why = "" if run.status == RunStatus.RUNNING else run.reason  # that is of its last wait
                self.stdout.write(f"{run.status}{': ' if why else ''}{why}")
                self.stdout.flush()
            if is_settled(run):
                return run
            seen = run.status
            time.sleep(LOOK_EVERY)
            run = Run.objects.select_related("version__agent").get(pk=run.pk)

    def _tell(self, run: Run) -> None:
        if run.output:
            self.stdout.write(run.output)
        self.stdout.write(f"{run.pk}  {run_url(run.pk)}")


def _exit_status(run: Run) -> int:
    if run.status == RunStatus.COMPLETED:
        return 0
    return 1 if run.is_final else 2
