"""The inbox: what waits for a person, and one request with all that it takes to decide."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from approvals.access import Actor, get_approval
from approvals.exceptions import Missing
from approvals.models import Approval
from approvals.queries import COUNTED, count_waiting, pending_queue, queue_rows
from approvals.viewing import note_view
from console.around import around
from console.cards import REJECTIONS, Card
from console.htmx import render_page
from console.people.entry import actor_of, people_only

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
    """The queue, with its first request open beside it."""
    actor = actor_of(request)
    first = pending_queue(actor).first()
    context = queue_page(request, actor, first) | card_context(actor, first)
    return render(request, "inbox/page.html", context)


@require_safe
@people_only
def queue(request: HttpRequest) -> HttpResponse:
    """The queue alone, for a page that is open."""
    return render(request, "inbox/_queue.html", queue_page(request, actor_of(request)))


@require_safe
@people_only
def first(request: HttpRequest) -> HttpResponse:
    """The first of the queue, for a page on which nothing is open; 204 while nothing waits."""
    actor = actor_of(request)
    approval = pending_queue(actor).first()
    if approval is None:
        return HttpResponse(status=204)
    return render(request, "inbox/_card.html", card_context(actor, approval))


@require_safe
@people_only
def card(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """One request; those that were decided stay at their address."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    context = page_context(actor, approval, chosen=True)
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
    """The request, where this person may see it."""
    try:
        return get_approval(approval_id, actor=actor)
    except Missing as error:
        raise Http404(str(error)) from error


def queue_page(request: HttpRequest, actor: Actor, current: Approval | None = None) -> dict[str, Any]:
    """The page of the queue that the address names."""
    number = request.GET.get("page", "")
    return queue_context(actor, current, page=int(number) if number.isdecimal() and len(number) < 6 else 1)


def queue_context(actor: Actor, current: Approval | None = None, *, page: int = 1) -> dict[str, Any]:
    """What a page of the queue shows; the last one that there is where `page` is beyond it."""
    count = count_waiting(actor)
    if count <= COUNTED:
        page = min(page, (count - 1) // SHOWN + 1)
    page = max(page, 1)
    start = (page - 1) * SHOWN
    rows = list(queue_rows(actor)[start : start + SHOWN + 1])
    return {
        "queue": rows[:SHOWN],
        "waiting": count,
        "current": current.pk if current else None,
        "page": page,
        "first_row": start + 1,
        "last_row": start + min(len(rows), SHOWN),
        "next_page": page + 1 if len(rows) > SHOWN else None,
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


def page_context(actor: Actor, approval: Approval | None, *, chosen: bool = False) -> dict[str, Any]:
    """What the whole page shows."""
    return queue_context(actor, approval) | card_context(actor, approval, chosen=chosen)
