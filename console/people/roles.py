"""What the roles may do, and how people and programs get one."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, Group, User

from approvals.access import ADMIN, OPERATOR, PEOPLE, ROLES, SERVICE, Actor, roles_of
from approvals.exceptions import NotAllowed

# Who may start, steer and ask, within what they may see; an analyst only reads.
DOERS = frozenset({OPERATOR, ADMIN, SERVICE})


class RoleConflict(Exception):
    """This user can't have that role."""


def require_any(actor: Actor, roles: frozenset[str], *, to: str) -> None:
    """Raise NotAllowed, naming the roles that could, unless `actor` has one of `roles`."""
    if not actor.roles & roles:
        raise NotAllowed(f"To {to}, the role {' or '.join(sorted(roles))} is needed; ask an admin for it.")


def give_role(user: User, role: str) -> bool:
    """Add `role` to the user's; whether it is new. Raises RoleConflict.

    A service can never decide, whatever else it is: making a person a service too would silently take their voice.
    """
    if role not in ROLES:
        raise RoleConflict(f"There is no role {role!r}: choose {', '.join(ROLES)}.")
    held = roles_of(user)
    if role in held:
        return False
    if (role == SERVICE and held & PEOPLE) or (role in PEOPLE and SERVICE in held):
        raise RoleConflict(
            f"{user.get_username()} is {' and '.join(sorted(held))} and can't be {role} as well:"
            " people and programs are different users. Choose another name."
        )
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    del user._gatehouse_roles  # type: ignore[attr-defined]
    return True


def user_with(name: str, role: str) -> tuple[User, bool]:
    """The user of this name, made where missing, with this role; whether somebody who was there got it just now.

    Raises RoleConflict, and ValidationError for what can't be a name.
    """
    user = User.objects.filter(username=name).first()
    if user is not None:
        return user, give_role(user, role)
    user = User(username=name)
    user.set_unusable_password()
    user.full_clean()
    user.save()
    give_role(user, role)
    return user, False


class AdminBackend(BaseBackend):
    """Lets people with the role admin do in Django admin what its pages offer, and nobody else anything."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return _is_admin(user_obj)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Whether the pages of an app are listed for this person."""
        return _is_admin(user_obj)


def _is_admin(user: User | AnonymousUser) -> bool:
    return ADMIN in roles_of(user)
