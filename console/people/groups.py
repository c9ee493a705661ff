"""The groups that stand for the roles."""

from typing import Any

from django.contrib.auth.models import Group

from approvals.access import ROLES


def make_groups(**_: Any) -> None:
    """Make the groups that are missing; runs after each `migrate`, so that roles are always there to be given."""
    for name in ROLES:
        Group.objects.get_or_create(name=name)
