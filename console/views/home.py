"""Where a visit begins, what every page shows, and the pages for what went wrong."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from console.people.entry import people_only


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The inbox is home."""
    return redirect("inbox")


@require_safe
@people_only
def status(request: HttpRequest) -> HttpResponse:
    """What the frame of each page shows and must stay true: halts, and how many requests wait."""
    return render(request, "_status_update.html")
