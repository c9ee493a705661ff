"""The door of the console's pages: who comes in, and as whom."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django_htmx.http import HttpResponseClientRedirect

from approvals.access import PEOPLE, Actor, roles_of
from console.htmx import wants_fragment

_PROVEN_AT = "second_factor_at"
_SIGNED_IN_AT = "signed_in_at"
FRESH = timedelta(minutes=15)  # how long a sign-in says that its person still sits there

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def people_only(view: View[P]) -> View[P]:
    """Let people with a role in; others are sent to sign in, or told that they lack a role (403).

    A page that is open while its session ends goes to the sign-in page as a whole, and comes back to where it was.
    """

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not request.user.is_authenticated:
            if wants_fragment(request):
                here = request.htmx.current_url_abs_path or "/"  # type: ignore[attr-defined]
                return HttpResponseClientRedirect(f"{settings.LOGIN_URL}?{urlencode({'next': here})}")
            return redirect_to_login(request.get_full_path())
        if not roles_of(request.user) & PEOPLE:
            raise PermissionDenied("Your account has no role here. Ask an admin to give you one.")
        return view(request, *args, **kwargs)

    return never_cache(guarded)


def actor_of(request: HttpRequest) -> Actor:
    """Whoever sits at the browser, and what it has proven."""
    proven_at = request.session.get(_PROVEN_AT)
    return Actor(cast(User, request.user), proven_at=datetime.fromisoformat(proven_at) if proven_at else None)


def remember_proof(request: HttpRequest, now: datetime) -> None:
    """Keep with the session that its person has just given their second factor."""
    request.session[_PROVEN_AT] = now.isoformat()


def remember_sign_in(request: HttpRequest, now: datetime) -> None:
    """Keep with the session when it began."""
    request.session[_SIGNED_IN_AT] = now.isoformat()


def is_fresh(request: HttpRequest, now: datetime) -> bool:
    """Whether its person signed in a short while ago: a session that was left open, or stolen, tells nothing of who acts."""
    began = request.session.get(_SIGNED_IN_AT)
    return began is not None and now - datetime.fromisoformat(began) < FRESH
