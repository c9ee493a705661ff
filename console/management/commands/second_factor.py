"""Second factors from a shell: for the admin who lost theirs, and has no other admin."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from approvals.stepup.factors import reset


class Command(BaseCommand):
    """`second_factor reset NAME`."""

    help = "Take away the second factor of somebody who lost it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser("reset", help="kept in the audit log").add_argument("name", metavar="NAME")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["name"]).first()
        if user is None:
            raise CommandError(f"There is nobody called {options['name']!r}.")
        reset(user, actor=None, now=timezone.now())
        self.stdout.write(f"{user.get_username()} has no second factor any more.")
