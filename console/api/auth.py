"""Who calls: every call carries a bearer token."""

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from approvals.access import Actor
from console.people.tokens import actor_by_token


class Token(HttpBearer):
    """`Authorization: Bearer gth_…`, made by `python manage.py token create`."""

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        """Who it is, for the view to read by `actor_of`; None is answered with 401."""
        return actor_by_token(token, now=timezone.now())


def actor_of(request: HttpRequest) -> Actor:
    """Who calls."""
    actor = getattr(request, "auth", None)
    if not isinstance(actor, Actor):
        raise TypeError("actor_of is for views behind Token.")
    return actor
