"""Who may see, decide and administer; and the only ways to a request's row."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db.models import QuerySet

from approvals.exceptions import Missing, NotAllowed
from approvals.models import Approval
from traces.statement import read

OPERATOR, ANALYST, ADMIN, SERVICE = "operator", "analyst", "admin", "service"
ROLES = (OPERATOR, ANALYST, ADMIN, SERVICE)  # names of Django groups
_ROLES = "_gatehouse_roles"  # kept on the user object, that is for one request
PEOPLE = frozenset({OPERATOR, ANALYST, ADMIN})


def roles_of(user: AbstractBaseUser | AnonymousUser) -> frozenset[str]:
    """The roles of a user; a superuser is an admin, nobody signed in has none."""
    if not isinstance(user, User) or not user.is_active:
        return frozenset()
    roles: frozenset[str] | None = getattr(user, _ROLES, None)
    if roles is None:
        names = set(user.groups.filter(name__in=ROLES).values_list("name", flat=True))
        roles = frozenset(names | ({ADMIN} if user.is_superuser else set()))
        setattr(user, _ROLES, roles)
    return roles


def people_with_roles(keys: Collection[str]) -> dict[str, User]:
    """The active users of these primary keys, by key, with their roles, in two statements."""
    users = User.objects.filter(pk__in=keys, is_active=True).prefetch_related("groups")
    for user in users:
        names = {group.name for group in user.groups.all()} & set(ROLES)
        setattr(user, _ROLES, frozenset(names | ({ADMIN} if user.is_superuser else set())))
    return {str(user.pk): user for user in users}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or program that does something, and by which way it came."""

    user: User
    via: str = "browser"  # browser, token, command
    scopes: frozenset[str] = frozenset()  # of the token
    proven_at: datetime | None = None  # when this browser last gave a second factor
    role: str = ""  # of the token: what it may do is this role's, not all that its user has

    def __str__(self) -> str:
        return f"{'token' if self.via == 'token' else 'user'}:{self.user.get_username()}"

    @property
    def roles(self) -> frozenset[str]:
        roles = roles_of(self.user)
        return roles & {self.role} if self.via == "token" else roles

    @property
    def speaks_as(self) -> str:
        """The highest role in which this person decides."""
        return ADMIN if ADMIN in self.roles else OPERATOR


def visible_approvals(actor: Actor) -> QuerySet[Approval]:
    """The requests that `actor` may see: people see all, a program its own."""
    if actor.roles & PEOPLE:
        return Approval.objects.all()
    return Approval.objects.filter(requested_by=actor.user)


def _is_visible(approval: Approval, actor: Actor) -> bool:
    return bool(actor.roles & PEOPLE) or approval.requested_by_id == actor.user.pk


def get_approval(approval_id: UUID | str, *, actor: Actor, lock: bool = False) -> Approval:
    """The request, locked where the caller will change it. Raises Missing."""
    if lock:
        locked = read(Approval, "id = $1 FOR UPDATE", approval_id)
        approval = next((row for row in locked if _is_visible(row, actor)), None)
    else:
        approval = visible_approvals(actor).filter(pk=approval_id).first()
    if approval is None:
        raise Missing(f"There is no approval {approval_id} that you may see.")
    return approval


def require_may_decide(actor: Actor, approval: Approval) -> None:
    """Raise NotAllowed, saying why, unless `actor` may decide this request."""
    if SERVICE in actor.roles or SERVICE in roles_of(actor.user):
        raise NotAllowed("A service can ask for approval, never decide. Sign in as a person.")
    if actor.via == "token" and "decide" not in actor.scopes:
        raise NotAllowed(
            "This token lacks the scope 'decide': make one with --scope decide, or use the console."
        )
    if approval.role not in actor.roles and ADMIN not in actor.roles:
        raise NotAllowed(f"Deciding this needs the role {approval.role}; ask an admin for it.")
    if approval.requested_by_id == actor.user.pk and not settings.SINGLE_OPERATOR:
        raise NotAllowed("You asked for this yourself: somebody else must decide.")


def may_decide(actor: Actor, approval: Approval) -> bool:
    """Whether the page offers this person to decide."""
    try:
        require_may_decide(actor, approval)
    except NotAllowed:
        return False
    return True
