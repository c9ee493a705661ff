"""Who calls, what their token may do, and how often: every call carries a bearer token."""

from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from approvals.access import Actor
from console.api import rates
from console.api.problems import Problem
from console.models import ApiToken
from console.people.tokens import SCOPES, actor_of_token, scopes_of, token_row

_ROW = "_gatehouse_token"  # kept on the request


class Token(HttpBearer):
    """`Authorization: Bearer gth_…`, made by `python manage.py token create`."""

    def __init__(self, scope: str = "") -> None:
        """`scope`: what the token must be allowed; empty: any token will do."""
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        """Who it is, for the view to read by `actor_of`; None is answered with 401. Raises Problem."""
        row = token_row(token, now=timezone.now())
        if row is None:
            return None
        setattr(request, _ROW, row)
        rates.take(request, row)
        if self.scope and self.scope not in scopes_of(row):
            raise Problem(
                403,
                "missing_scope",
                f"This token lacks the scope {self.scope!r} ({SCOPES[self.scope]}): make one that has it.",
                scope=self.scope,
            )
        return actor_of_token(row)


ANY, READ, RUN, ASK, MANAGE = Token(), Token("read"), Token("run"), Token("ask"), Token("manage")


def actor_of(request: HttpRequest) -> Actor:
    """Who calls."""
    actor = getattr(request, "auth", None)
    if not isinstance(actor, Actor):
        raise TypeError("actor_of is for views behind Token.")
    return actor


def token_of(request: HttpRequest) -> ApiToken:
    """By which token."""
    row = getattr(request, _ROW, None)
    if not isinstance(row, ApiToken):
        raise TypeError("token_of is for views behind Token.")
    return row
