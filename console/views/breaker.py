"""The button that lifts a breaker."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from agents import brakes
from approvals.exceptions import Missing, NotAllowed
from console.people.entry import actor_of, people_only


@require_POST
@people_only
def lift(request: HttpRequest, name: str) -> HttpResponse:
    """Let all go on as before."""
    try:
        brakes.lift(name, actor=actor_of(request), now=timezone.now())
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except Missing:
        messages.info(request, "It was lifted before.")
    else:
        messages.success(request, "The breaker is lifted: all goes on as before.")
    return redirect("inbox")
