"""How people get in and out."""

import hashlib
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from redis.exceptions import RedisError

from console.people.links import use_link

log = structlog.get_logger(__name__)

FAILURES = 10
WINDOW_SECONDS = 15 * 60


class SignInForm(AuthenticationForm):
    """Name and password; after ten failures from one place within 15 minutes, neither is looked at."""

    error_messages = {
        "invalid_login": "This name and password don't fit together. Mind capital letters.",
        "inactive": "This account is switched off. Ask an admin.",
        "too_many": "Too many failed attempts for this name. Wait 15 minutes, or ask an admin for a sign-in link.",
    }

    def clean(self) -> dict[str, Any]:
        key = self._key()
        if _failures(key) >= FAILURES:
            raise ValidationError(self.error_messages["too_many"], code="too_many")
        try:
            cleaned = super().clean()
        except ValidationError:
            _set_failures(key, _failures(key) + 1)
            raise
        _set_failures(key, 0)
        return cleaned

    def _key(self) -> str:
        place = self.request.META.get("REMOTE_ADDR", "") if self.request else ""
        name = self.cleaned_data.get("username", "").lower()
        return "sign-in:" + hashlib.sha256(f"{name}\0{place}".encode()).hexdigest()


def _failures(key: str) -> int:
    """How often it failed lately. While Valkey is away nobody is counted: people must get in to mend that."""
    try:
        return int(cache.get(key, 0))
    except RedisError as error:
        log.warning("sign_in.uncounted", error=str(error))
        return 0


def _set_failures(key: str, count: int) -> None:
    try:
        cache.set(key, count, WINDOW_SECONDS)
    except RedisError as error:
        log.warning("sign_in.uncounted", error=str(error))


class SignIn(LoginView):
    """The sign-in page; whoever is in already goes on to where they wanted to go."""

    template_name = "sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_invalid(form)
        response.status_code = 429 if form.has_error("__all__", "too_many") else 422
        return response


sign_in = SignIn.as_view()
sign_out = LogoutView.as_view()


@require_GET
@never_cache
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in whoever the link is for; a link that is spent or too old leads to the sign-in page, which says so."""
    user = use_link(token=token)
    if user is None:
        return redirect(f"{settings.LOGIN_URL}?link=spent")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect(settings.LOGIN_REDIRECT_URL)
