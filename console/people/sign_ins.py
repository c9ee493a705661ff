"""Who came in and left, by whatever door: kept in the audit log."""

from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.http import HttpRequest
from django.utils import timezone

from console.people.entry import remember_sign_in
from traces.recorder import note


def listen() -> None:
    """Hear of every sign-in, from when the app is ready."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit")
    user_logged_out.connect(_signed_out, dispatch_uid="audit")
    user_login_failed.connect(_failed, dispatch_uid="audit")


def _signed_in(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    remember_sign_in(request, timezone.now())
    _record("user.signed_in", f"user:{user.get_username()}", user, request)


def _signed_out(sender: Any, request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        _record("user.signed_out", f"user:{user.get_username()}", user, request)


def _failed(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Nobody is proven to be who they say. A name that nobody has is left out: it may be a password."""
    user = User.objects.filter(
        username__iexact=str(credentials.get("username", "")).replace("\x00", "")
    ).first()
    _record("user.sign_in_failed", "system", user, request)


def _record(name: str, actor: str, user: User | None, request: HttpRequest | None) -> None:
    address = request.META.get("REMOTE_ADDR", "") if request is not None else ""
    data = {"user": user.get_username() if user else "", "address": address}
    note(name, actor=actor, object_id=str(user.pk) if user else "", data=data)
