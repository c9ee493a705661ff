"""Runs from a shell."""

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.actions import start_run
from agents.batches import CONCURRENCY, create_batch
from agents.exceptions import AgentError
from agents.models import BatchStatus, Run
from agents.states import RunStatus
from agents.tables import read_table
from console.api.batches import batch_url
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
        batch = commands.add_parser("batch", help="a run for each row of a table")
        batch.add_argument("agent", metavar="AGENT")
        batch.add_argument("file", type=Path, metavar="FILE", help="CSV with a header, or JSON lines")
        batch.add_argument(
            "--task", default="", metavar="TEXT", help="with {column} for what differs; else the column input"
        )
        batch.add_argument("--budget", type=_usd, metavar="USD", help="for all rows together")
        batch.add_argument("--concurrency", type=int, default=CONCURRENCY, metavar="N")
        batch.add_argument(
            "--wait", action="store_true", help="until it is over or paused; exit status 0: over"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["command"] == "batch":
            self._batch(options)
            return
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

    def _batch(self, options: dict[str, Any]) -> None:
        file: Path = options["file"]
        try:
            batch = create_batch(
                agent=options["agent"],
                table=read_table(file.read_bytes(), name=file.name),
                task=options["task"],
                name=file.name,
                budget_usd=options["budget"],
                concurrency=options["concurrency"],
            )
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror}.") from error
        except AgentError as error:
            lines = (_mistake(each) for each in error.errors)
            raise CommandError("\n".join([str(error), *lines])) from error
        self.stdout.write(f"{batch.pk}  {batch_url(batch)}")
        while options["wait"] and batch.status == BatchStatus.RUNNING:
            time.sleep(LOOK_EVERY)
            batch.refresh_from_db()
        if options["wait"]:
            self.stdout.write(f"{batch.status}{': ' if batch.reason else ''}{batch.reason}")
            sys.exit(0 if batch.status == BatchStatus.COMPLETED else 2)

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


def _usd(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError as error:
        raise ArgumentTypeError(f"{text!r} is no amount: write USD, such as 12.50") from error


def _mistake(error: dict[str, Any]) -> str:
    where, *line = error["path"]
    return f"  line {line[0]}: {error['message']}" if line else f"  {where}: {error['message']}"


def _exit_status(run: Run) -> int:
    if run.status == RunStatus.COMPLETED:
        return 0
    return 1 if run.is_final else 2
