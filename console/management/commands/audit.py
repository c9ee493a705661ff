"""The audit log from a shell: seal, export, verify."""

import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from traces import sealing
from traces.audit import keys
from traces.audit.export import NothingSealed, log_lines, written
from traces.audit.sealer import seal_due, unsealed_count
from traces.audit.stored import verify_stored
from traces.audit.verification import Damage, Report, parse_lines, verify
from traces.recorder import record


class Command(BaseCommand):
    """`audit verify` ends with 1, and the first damage with its place, where something is not as it was sealed.

    With a file it needs no database: an auditor runs it anywhere.
    """

    help = "Seal, export and verify the audit log."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        check = commands.add_parser("verify", help="check the log, or a file that was exported from it")
        check.add_argument(
            "file", nargs="?", metavar="FILE", help="an export or a receipt; else the database"
        )
        check.add_argument(
            "--key",
            action="append",
            default=[],
            metavar="PUBLICKEY",
            help="trust this key alone, as noted from the audit page or an earlier export; may be repeated",
        )
        check.add_argument(
            "--checkpoint",
            default="",
            metavar="SEAL:HASH",
            help="as an earlier verification told it: so that a log which was cut off or rewritten is found",
        )
        export = commands.add_parser("export", help="write all that is sealed, as JSON Lines")
        export.add_argument("file", metavar="FILE", help="- is standard output")
        export.add_argument(
            "--from-seal", type=int, default=1, metavar="NUMBER", help="leave out what is older"
        )
        commands.add_parser("seal", help="seal now what was written")
        commands.add_parser("new-key", help="sign with a new key from now on")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['command'].replace('-', '_')}")(options)
        except (sealing.Unreadable, NothingSealed) as error:
            raise CommandError(str(error)) from error

    def _verify(self, options: dict[str, Any]) -> None:
        path, pinned, checkpoint = options["file"], options["key"], options["checkpoint"]
        try:
            if path:
                with self._opened(path) as file:
                    report = verify(parse_lines(file), pinned=pinned, checkpoint=checkpoint)
            else:
                report = verify_stored(pinned=pinned, checkpoint=checkpoint)
        except Damage as damage:
            self.stdout.write(f"BROKEN at {damage} [{damage.kind}]")
            sys.exit(1)
        except (ValueError, OperationalError) as error:
            raise CommandError(str(error)) from error
        self._tell(report, pinned=bool(pinned), stored=not path)

    def _opened(self, path: str) -> Any:
        try:
            return Path(path).open(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path} can't be read: {error.strerror}.") from error

    def _tell(self, report: Report, *, pinned: bool, stored: bool) -> None:
        self.stdout.write(f"whole: {report.events:,} events under {report.seals:,} seals ({report.what})")
        for what, value in report.claims.items():
            self.stdout.write(f"{what:>9}: {value}")
        if report.claims:
            words = "the same" if len(set(report.claims.values())) == 1 else "DIFFERENT: read why on the page"
            self.stdout.write(f"          {words}")
        for key in report.keys:
            trust = (
                ""
                if pinned
                else "  (this installation's)"
                if stored
                else "  (compare it with what you noted, or use --key)"
            )
            self.stdout.write(f"key {key}{trust}")
        if report.checkpoint:
            self.stdout.write(f"checkpoint {report.checkpoint}")
        if stored and (waiting := unsealed_count()):
            self.stdout.write(f"{waiting:,} events wait for their seal")

    def _export(self, options: dict[str, Any]) -> None:
        seal_due()
        with ExitStack() as stack:
            out: Any = self.stdout
            lines = written(log_lines(first=options["from_seal"]))
            first = next(lines)  # raises before a file is made
            if options["file"] != "-":
                out = stack.enter_context(Path(options["file"]).open("w", encoding="utf-8"))
            out.write(first)
            for line in lines:
                out.write(line)
        record("audit.exported", actor="system", data={"what": "log", "from_seal": options["from_seal"]})

    def _seal(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{seal_due():,} events sealed")

    def _new_key(self, options: dict[str, Any]) -> None:
        made = keys.replace()
        record("audit.key_replaced", actor="system", data={"key": made.public})
        self.stdout.write(f"key {made.public}")
