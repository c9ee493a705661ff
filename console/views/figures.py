"""How deciding goes: each person's own figures, and everybody's for whom the installation lets see them."""

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals import fatigue
from console.people.entry import actor_of, people_only

DAYS = (1, 7, 30)


@require_safe
@people_only
def figures(request: HttpRequest) -> HttpResponse:
    """Load and care of approvers, and how long requests waited."""
    chosen = request.GET.get("days", "")
    days = int(chosen) if chosen in map(str, DAYS) else 7
    actor, since = actor_of(request), timezone.now() - timedelta(days=days)
    context = {
        "days": days,
        "choices": DAYS,
        "approvers": fatigue.approvers(since=since, actor=actor),
        "sees_others": fatigue.may_see_others(actor),
        "roles": sorted(settings.FIGURES_FOR),
        "waiting": fatigue.waiting(since=since),
        "chars_per_second": fatigue.CHARS_PER_SECOND,
        "to_begin": fatigue.TO_BEGIN,
        "at_most": fatigue.AT_MOST,
    }
    return render(request, "figures/page.html", context)
