"""The inbox: what waits for a person."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from console.people.entry import people_only


@require_safe
@people_only
def inbox(request: HttpRequest) -> HttpResponse:
    """The queue, with the first request open beside it."""
    return render(request, "inbox/page.html", {})
