"""Agents as files: apply, export, diff."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents import files
from agents.advice import warnings
from agents.exceptions import AgentError


class Command(BaseCommand):
    """Exit status 1 and one line for every mistake where a file is bad; then nothing was published.

    What is published and worth a second look is told on standard error.
    """

    help = "Publish agents from files, write them to files, and compare the two."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        apply = commands.add_parser("apply", help="publish what changed; all of the files, or none")
        apply.add_argument("files", nargs="+", metavar="FILE")
        export = commands.add_parser("export", help="write the live version as a file to standard output")
        export.add_argument("name", metavar="NAME")
        diff = commands.add_parser("diff", help="what applying a file would change")
        diff.add_argument("file", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            match options["command"]:
                case "apply":
                    self._apply(options["files"])
                case "export":
                    self.stdout.write(files.export(options["name"]), ending="")
                case "diff":
                    self.stdout.write(files.diff(options["file"]), ending="")
        except AgentError as error:
            raise CommandError(str(error)) from error

    def _apply(self, paths: list[str]) -> None:
        for version, published in files.apply_files(paths, actor=None):
            name = version.agent.name
            told = f"published v{version.number}" if published else f"unchanged (v{version.number})"
            self.stdout.write(f"{name}: {told}")
            if published:
                before = version.agent.versions.filter(number__lt=version.number).first()
                for sentence in warnings(version.parsed, before.parsed if before else None):
                    self.stderr.write(f"{name}: warning: {sentence}")
