"""How people get in."""

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from console.people.links import use_link


@require_GET
@never_cache
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in whoever the link is for; a link that is spent or too old leads to the sign-in page, which says so."""
    user = use_link(token=token)
    if user is None:
        return redirect(f"{settings.LOGIN_URL}?link=spent")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect(settings.LOGIN_REDIRECT_URL)
