"""`python manage.py sign_in_link NAME`: a way in for somebody who has none."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from console.people.links import make_link


class Command(BaseCommand):
    """Prints the link alone, so that a script can use it."""

    help = "Print a link that signs NAME in, once and within an hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the user's name")

    def handle(self, *, name: str, **options: Any) -> None:
        try:
            user = User.objects.get(username=name, is_active=True)
        except User.DoesNotExist as error:
            names = ", ".join(User.objects.filter(is_active=True).values_list("username", flat=True)[:10])
            raise CommandError(
                f"There is no active user {name!r}: choose one of {names or 'none yet'}."
            ) from error
        self.stdout.write(settings.BASE_URL + make_link(user))
