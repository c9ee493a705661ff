"""Tokens for programs: make, list, revoke."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError as BadName
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from pydantic import TypeAdapter, ValidationError

from agents.config.strict import Seconds
from approvals.access import ROLES
from console.models import ApiToken
from console.people.roles import RoleConflict, user_with
from console.people.tokens import SCOPES, BadToken, make_token, revoke_by_prefix


def _span(text: str) -> timedelta:
    try:
        return timedelta(seconds=TypeAdapter(Seconds).validate_python(text))
    except ValidationError as error:
        raise ArgumentTypeError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


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
            help="; ".join(f"{scope}: {what}" for scope, what in SCOPES.items())
            + "; none of them, or decide alone: all that the role may",
        )
        create.add_argument("--agent", default="", metavar="NAME", help="as which agent its calls are judged")
        create.add_argument("--expires", type=_span, metavar="TIME", help="how long it is good, such as 90d")
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
        try:
            user, is_new = user_with(name, role)
        except BadName as error:
            raise CommandError(f"{name!r} can't be a user's name: {' '.join(error.messages)}") from error
        if is_new:
            self.stderr.write(f"{name} has the role {role} from now on.")
        token = make_token(
            user=user,
            role=role,
            scopes=options["scope"],
            agent=options["agent"],
            lasts=options["expires"],
            now=timezone.now(),
        )
        self.stdout.write(token)

    def _list(self, options: dict[str, Any]) -> None:
        for token in ApiToken.objects.select_related("user"):
            used = f"used {token.last_used_at:%Y-%m-%d %H:%M} UTC" if token.last_used_at else "never used"
            if token.revoked_at:
                state = f"revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC"
            elif token.expires_at:
                state = f"{used}, good until {token.expires_at:%Y-%m-%d %H:%M} UTC"
            else:
                state = used
            scopes = ",".join(token.scopes) or "-"
            self.stdout.write(
                f"{token.prefix}…  {token.user.get_username():<20} {token.role:<9} {scopes:<8} {state}"
            )

    def _revoke(self, options: dict[str, Any]) -> None:
        token = revoke_by_prefix(options["prefix"], by="system", now=timezone.now())
        self.stdout.write(f"{token.prefix}… of {token.user.get_username()} is revoked.")
