"""Suites from a shell: whether an agent still does what it should."""

import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agents.evals.keeping import apply_files
from agents.evals.suites import LIMIT, accept, collect, join_suite
from agents.exceptions import AgentError
from agents.models import SuiteRun
from approvals.exceptions import GateError
from console.api.shapes.suites import CaseOut, SuiteRunOut
from console.api.suites import shape_suite_run

LOOK_EVERY = 0.3  # s


class Command(BaseCommand):
    """`evals run` ends with 1 where a case fails that passed in the accepted baseline, or that is new; else with 0.

    One that was broken off goes on: as long as cases and agent are the same, `evals run` takes up what is at work.
    """

    help = "Keep suites of cases, and run them as rehearsals: nothing of them reaches the world."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        apply = commands.add_parser("apply", help="keep what changed; all of the files, or none")
        apply.add_argument("files", nargs="+", metavar="FILE")
        run = commands.add_parser("run", help="run a suite with the agent's live version")
        run.add_argument("suite", metavar="SUITE")
        run.add_argument(
            "--json", action="store_true", help="the result as the API tells it, and nothing else"
        )
        run.add_argument(
            "--accept",
            action="store_true",
            help="make the result the baseline of later runs, whatever it is; exit status 0",
        )
        run.add_argument(
            "--limit",
            type=int,
            default=LIMIT,
            metavar="SECONDS",
            help="a case that goes on beyond has failed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["command"] == "apply":
                self._apply(options["files"])
            else:
                self._run(options)
        except (AgentError, GateError) as error:
            raise CommandError(str(error)) from error

    def _apply(self, paths: list[str]) -> None:
        for suite, changed in apply_files(paths, actor=None):
            told = (
                f"{_number(suite.cases.count(), 'case')} for {suite.agent.name}" if changed else "unchanged"
            )
            self.stdout.write(f"{suite.name}: {told}")

    def _run(self, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit is at least 1 s.")
        name, now = options["suite"], timezone.now()
        suite_run = self._wait(join_suite(name, now=now, seconds=options["limit"]))
        if options["accept"]:
            accept(suite_run, actor=None)
        told = shape_suite_run(suite_run, None)
        if options["json"]:
            self.stdout.write(told.model_dump_json(indent=2))
        else:
            self.stdout.write("\n".join(_table(told)))
        if told.regressions and not options["accept"]:
            sys.exit(1)

    def _wait(self, suite_run: SuiteRun) -> SuiteRun:
        while True:
            suite_run = collect(suite_run.pk, now=timezone.now())
            if suite_run.ended_at is not None:
                return suite_run
            time.sleep(LOOK_EVERY)


def _table(told: SuiteRunOut) -> list[str]:
    """The result for people: a line for each case, below it what is wrong, and the sum."""
    width = max(len(case.case) for case in told.cases)
    lines = [f"{told.suite}: {told.agent} v{told.version}"]
    for case in told.cases:
        lines.append(
            f"  {_word(case, told):<15} {case.case:<{width}}  USD {case.cost_usd:.4f}  {case.run or ''}".rstrip()
        )
        lines += [f"      {finding}" for finding in case.findings]
    lines += [f"  {'gone':<15} {name}" for name in told.gone]
    counted = f"{told.passed} passed, {told.failed} failed"
    if told.baseline:
        counted += f", {_number(len(told.regressions), 'regression')}"
        counted += f", {_number(len(told.improvements), 'improvement')}"
    after = " No baseline was accepted yet: --accept makes one." if not told.baseline else ""
    after = " This is the baseline now." if told.accepted else after
    lines.append(f"{counted}; USD {told.cost_usd:.4f}.{after}")
    return lines


def _word(case: CaseOut, told: SuiteRunOut) -> str:
    if told.baseline is None:
        return "passed" if case.passed else "failed"
    return case.change or ("passed" if case.passed else "fails as before")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
