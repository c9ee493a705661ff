"""Tokens for programs: make, list, revoke."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from approvals.access import ROLES
from console.models import ApiToken
from console.people.roles import RoleConflict, give_role
from console.people.tokens import SCOPES, BadToken, make_token, revoke_by_prefix


class Command(BaseCommand):
    """`token create` prints the token alone: it is shown this once, and kept only as a hash."""

    help = "Make, list and revoke the tokens by which programs use the API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        create = commands.add_parser("create", help="print a new token; makes the user where it is missing")
        create.add_argument("--user", required=True, metavar="NAME")
        create.add_argument("--role", required=True, choices=ROLES)
        create.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=SCOPES,
            help="decide: it may decide approvals, for a person",
        )
        commands.add_parser("list", help="every token, without the token itself")
        revoke = commands.add_parser("revoke", help="let a token in no more")
        revoke.add_argument("prefix", help="how the token begins, as `token list` shows it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['command']}")(options)
        except (BadToken, RoleConflict) as error:
            raise CommandError(str(error)) from error

    @transaction.atomic
    def _create(self, options: dict[str, Any]) -> None:
        name, role = options["user"], options["role"]
        user = User.objects.filter(username=name).first()
        if user is None:
            user = User(username=name)
            user.set_unusable_password()
            try:
                user.full_clean()
            except ValidationError as error:
                raise CommandError(f"{name!r} can't be a user's name: {' '.join(error.messages)}") from error
            user.save()
            give_role(user, role)
        elif give_role(user, role):
            self.stderr.write(f"{name} has the role {role} from now on.")
        self.stdout.write(make_token(user=user, role=role, scopes=options["scope"], now=timezone.now()))

    def _list(self, options: dict[str, Any]) -> None:
        for token in ApiToken.objects.select_related("user"):
            used = f"used {token.last_used_at:%Y-%m-%d %H:%M} UTC" if token.last_used_at else "never used"
            state = f"revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC" if token.revoked_at else used
            scopes = ",".join(token.scopes) or "-"
            self.stdout.write(
                f"{token.prefix}…  {token.user.get_username():<20} {token.role:<9} {scopes:<8} {state}"
            )

    def _revoke(self, options: dict[str, Any]) -> None:
        token = revoke_by_prefix(options["prefix"], by="system", now=timezone.now())
        self.stdout.write(f"{token.prefix}… of {token.user.get_username()} is revoked.")
