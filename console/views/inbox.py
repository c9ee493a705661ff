"""The inbox: what waits for a person, and one request with all that it takes to decide."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from agents.masking import hide_in_requests, hide_in_rows
from approvals.access import Actor, get_approval
from approvals.exceptions import Invalid, Missing
from approvals.models import Approval
from approvals.queries import COUNTED, count_waiting, pending_queue, queue_rows
from approvals.viewing import note_view
from console.around import around
from console.cards import REJECTIONS, Card
from console.htmx import render_page
from console.people.entry import actor_of, people_only
from console.queue import Filters, Place, delete_view, save_view

TIMES = {  # s: how long a grant may hold
    "900": "15 minutes",
    "3600": "an hour",
    "28800": "8 hours",
    "86400": "a day",
    "604800": "7 days",
    "2592000": "30 days",
}
SHOWN = 50  # rows of a page of the queue


@require_safe
@people_only
def inbox(request: HttpRequest) -> HttpResponse:
    """The queue; where there is room beside it, its first request opens there by a request of its own."""
    context = queue_context(Place.of(request))
    return render(request, "inbox/page.html", context | {"opening": bool(context["queue"])})


@require_safe
@people_only
def queue(request: HttpRequest) -> HttpResponse:
    """The queue alone, for a page that is open."""
    return render(request, "inbox/_queue.html", queue_context(Place.of(request)))


@require_POST
@people_only
def save(request: HttpRequest) -> HttpResponse:
    """Keep the filters that the form says under a name, and show what they show."""
    filters = Filters.of(request.POST)
    try:
        row = save_view(
            actor_of(request),
            request.POST.get("name", ""),
            filters,
            shared="shared" in request.POST,
            default="default" in request.POST,
        )
    except Invalid as error:
        messages.error(request, str(error))
        return redirect(f"/inbox?{urlencode(filters.chosen)}")
    messages.success(request, f"The view {row.name} is saved.")
    return redirect(f"/inbox?view={row.pk}")


@require_POST
@people_only
def forget(request: HttpRequest, view_id: int) -> HttpResponse:
    """Delete an own view."""
    if delete_view(actor_of(request), view_id):
        messages.success(request, "The view is deleted.")
    return redirect("inbox")


@require_safe
@people_only
def first(request: HttpRequest) -> HttpResponse:
    """The first of the queue, for a page on which nothing is open; 204 while nothing waits."""
    actor = actor_of(request)
    place = Place.of(request)
    approval = shown(place.rows(pending_queue(actor)).first(), actor)
    if approval is None:
        return HttpResponse(status=204)
    context = card_context(actor, approval) | {"place": place.query()}
    return render(request, "inbox/_card.html", context)


@require_safe
@people_only
def card(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """One request; those that were decided stay at their address."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    context = page_context(Place.of(request), approval, chosen=True)
    return render_page(request, page="inbox/page.html", fragment="inbox/_card.html", context=context)


@require_safe
@people_only
def changed(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Whether what a page shows is still so: 204, or a note. What a person is reading or writing is left alone."""
    actor = actor_of(request)
    card = Card(visible_or_404(approval_id, actor), actor, timezone.now())
    if card.state == request.GET.get("state"):
        return HttpResponse(status=204)
    return render(request, "inbox/_changed.html", {"card": card})


@require_safe
@people_only
def stopped(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Whether an emergency stop holds back what would be approved, for a card that is open."""
    actor = actor_of(request)
    card = Card(visible_or_404(approval_id, actor), actor, timezone.now())
    return render(request, "inbox/_stopped.html", {"card": card})


def visible_or_404(approval_id: UUID, actor: Actor) -> Approval:
    """The request, where this person may see it, and as they may see it."""
    try:
        approval = get_approval(approval_id, actor=actor)
    except Missing as error:
        raise Http404(str(error)) from error
    hide_in_requests([approval], actor)
    return approval


def shown(approval: Approval | None, actor: Actor) -> Approval | None:
    """The request as this person may see it."""
    if approval is not None:
        hide_in_requests([approval], actor)
    return approval


def queue_context(place: Place, current: Approval | None = None) -> dict[str, Any]:
    """What a page of the queue shows; the last one that there is where the place is beyond it."""
    actor, page = place.actor, place.page
    waiting = count_waiting(actor)
    count = waiting if not place.is_filtered else place.rows(pending_queue(actor))[: COUNTED + 1].count()
    if count <= COUNTED:
        page = max(min(page, (count - 1) // SHOWN + 1), 1)
    start = (page - 1) * SHOWN
    rows = list(place.rows(queue_rows(actor))[start : start + SHOWN + 1])
    hide_in_rows(rows, actor)
    here = place.query(page)
    for row in rows:  # to a template every look-up is work, fifty times over
        row |= {"pk": str(row["pk"]), "is_current": current is not None and row["pk"] == current.pk}
        row["link"] = f"/inbox/{row['pk']}{here}"
    return {
        "queue": rows[:SHOWN],
        "requests_waiting": waiting,
        "matching": count,
        "page": page,
        "place": here,
        "where": place,
        "first_row": start + 1,
        "last_row": start + min(len(rows), SHOWN),
        "previous_page": place.query(page - 1) or "?page=1" if page > 1 else "",
        "next_page": place.query(page + 1) if len(rows) > SHOWN else "",
    }


def card_context(actor: Actor, approval: Approval | None, *, chosen: bool = False) -> dict[str, Any]:
    """What one request shows. `chosen`: the person asked for this one, so that a phone shows it instead of the list."""
    if approval is None:
        return {"card": None, "chosen": chosen}
    note_view(approval, actor=actor)
    shown = {
        "card": Card(approval, actor, timezone.now()),
        "chosen": chosen,
        "rejections": REJECTIONS,
        "times": TIMES,
    }
    return shown | around(approval, actor)


def page_context(place: Place, approval: Approval | None, *, chosen: bool = False) -> dict[str, Any]:
    """What the whole page shows."""
    return queue_context(place, approval) | card_context(place.actor, approval, chosen=chosen)
