"""A person's second factor: set up with a QR code, proven by a code, removed."""

from collections.abc import Callable
from urllib.parse import urlsplit

import segno
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST, require_safe

from approvals.exceptions import GateError
from approvals.stepup import factors, gate
from approvals.stepup.codes import enrolment_uri
from console.people import proof
from console.people.entry import actor_of, is_fresh, people_only

# Else whoever finds a session open could bring a factor of their own, and approve with it.
STALE = "You signed in some time ago: sign in again to set up a second factor."


@require_safe
@people_only
def page(request: HttpRequest) -> HttpResponse:
    """How it stands."""
    return _page(request)


@require_POST
@people_only
def begin(request: HttpRequest) -> HttpResponse:
    """Show a secret to be confirmed."""
    if not is_fresh(request, timezone.now()):
        return _page(request, problem=STALE, status=422)
    return _told(request, lambda: factors.begin(actor_of(request).user, now=timezone.now()))


@require_POST
@people_only
def confirm(request: HttpRequest) -> HttpResponse:
    """The first code; the recovery codes are shown this once."""
    if not is_fresh(request, timezone.now()):
        return _page(request, problem=STALE, status=422)
    return _codes(
        request, lambda: factors.confirm(actor_of(request).user, _code(request), now=timezone.now())
    )


@require_POST
@people_only
def prove(request: HttpRequest) -> HttpResponse:
    """Give a code ahead of what needs it."""
    return _told(request, lambda: proof.prove(request, _code(request)), "Taken: it counts for a while.")


@require_POST
@people_only
def codes(request: HttpRequest) -> HttpResponse:
    """New recovery codes."""
    return _codes(
        request, lambda: factors.renew_codes(actor_of(request).user, _code(request), now=timezone.now())
    )


@require_POST
@people_only
def remove(request: HttpRequest) -> HttpResponse:
    """Have none any more."""
    return _told(
        request,
        lambda: factors.remove(actor_of(request).user, _code(request), now=timezone.now()),
        "Your second factor is removed.",
    )


def _told(request: HttpRequest, do: Callable[[], object], words: str = "") -> HttpResponse:
    try:
        do()
    except GateError as error:
        return _page(request, problem=str(error), status=422)
    if words:
        messages.success(request, words)
    return redirect("second-factor")


def _codes(request: HttpRequest, make: Callable[[], list[str]]) -> HttpResponse:
    try:
        made = make()
    except GateError as error:
        return _page(request, problem=str(error), status=422)
    proof.proven(request, timezone.now())
    return _page(request, made=made)


def _page(
    request: HttpRequest, *, problem: str = "", made: list[str] | None = None, status: int = 200
) -> HttpResponse:
    actor, now = actor_of(request), timezone.now()
    factor = factors.factor_of(actor.user)
    fresh = is_fresh(request, now)
    secret = "" if factor or not fresh else factors.pending_secret(actor.user)
    context = {
        "factor": factor,
        "fresh": fresh,
        "codes_left": factor.recovery_codes.filter(used_at=None).count() if factor else 0,
        "secret": " ".join(secret[place : place + 4] for place in range(0, len(secret), 4)),
        "picture": _picture(secret, actor.user.get_username()) if secret else "",
        "proven": gate.is_proven(actor, now=now),
        "minutes": settings.STEP_UP_SECONDS // 60,
        "made": made,
        "problem": problem,
    }
    return render(request, "me/second_factor.html", context, status=status)


def _picture(secret: str, name: str) -> SafeString:
    """The QR code as SVG within the page: it holds the secret, so it is no file of its own."""
    issuer = f"Gatehouse {urlsplit(settings.BASE_URL).hostname}"
    code = segno.make(enrolment_uri(secret, name=name, issuer=issuer), error="m")
    svg = code.svg_inline(scale=5, dark="#000", light="#fff", svgclass="qr", title="QR code of the secret")
    return mark_safe(svg)  # noqa: S308 (numbers that segno drew)


def _code(request: HttpRequest) -> str:
    return request.POST.get("code", "")
