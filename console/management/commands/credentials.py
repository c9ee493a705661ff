"""Credentials of tools from a shell: set, list, seal anew."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agents import credentials, safekeeping
from agents.exceptions import BadConfig
from agents.models import Credential
from console.callbacks import keys
from console.notifications import sealed


class Command(BaseCommand):
    """A secret is read from standard input, or asked for: an argument would be seen by others on the host."""

    help = "Set the credentials of tools, list them, and seal all secrets with the newest SECRET_KEY."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        put = commands.add_parser("set", help="a new one, or a new secret; what is left out stays as it is")
        put.add_argument("name")
        put.add_argument("--kind", choices=Credential.Kind.values)
        put.add_argument("--parameter", metavar="NAME", help="of kind header or query: its name")
        put.add_argument("--host", action="append", metavar="HOST", help="where it may be sent")
        commands.add_parser("list", help="every credential, without its secret")
        commands.add_parser("rotate-key", help="seal all secrets with the newest SECRET_KEY")

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"_{options['command'].replace('-', '_')}")(options)

    def _set(self, options: dict[str, Any]) -> None:
        row = Credential.objects.filter(name=options["name"]).first()
        kind = options["kind"] or (row.kind if row else Credential.Kind.BEARER)
        parameter = options["parameter"]
        if parameter is None:
            parameter = row.parameter if row and kind == row.kind else ""
        hosts = options["host"] if options["host"] is not None else (row.hosts if row else [])
        if not hosts and kind != Credential.Kind.VALUE:
            raise CommandError("Say where it may be sent: --host api.example.com.")
        secret = getpass("Secret: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\r\n")
        try:
            kept = credentials.keep(
                name=options["name"],
                kind=kind,
                parameter=parameter,
                hosts=hosts,
                secret=secret,
                actor=None,
                now=timezone.now(),
            )
        except BadConfig as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{kept.name} is {'set anew' if row else 'set'}.")

    def _list(self, options: dict[str, Any]) -> None:
        for row in Credential.objects.select_related("changed_by"):
            by = row.changed_by.get_username() if row.changed_by else "a command"
            used = ", ".join(safekeeping.users_of(row.name)) or "no agent"
            where = ", ".join(row.hosts) or "-"
            self.stdout.write(
                f"{row.name:<20} {row.kind:<7} {where:<30} set {row.changed_at:%Y-%m-%d %H:%M} UTC by {by}, used by {used}"
            )

    def _rotate_key(self, options: dict[str, Any]) -> None:
        count, unreadable = safekeeping.reseal()
        signing, lost = keys.reseal()
        others, gone = sealed.reseal()
        self.stdout.write(
            f"{count} credentials and {signing} signing keys are sealed with the newest key,"
            f" and {others} other secrets."
        )
        if names := [*unreadable, *(f"the signing key of {name}" for name in lost), *gone]:
            raise CommandError(
                f"Nobody can read {', '.join(names)}: name the SECRET_KEY of then in SECRET_KEY_FALLBACKS, or set them anew."
            )
