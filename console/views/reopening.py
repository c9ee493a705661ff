"""Letting the agent ask again what a person denied."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from approvals import denials
from approvals.exceptions import AlreadyResolved, NotAllowed
from console.htmx import render_page, wants_fragment
from console.people.entry import actor_of, people_only
from console.queue import Place
from console.views.inbox import card_context, page_context, visible_or_404


@require_POST
@people_only
def reopen(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Re-open a denied request, and show its card as it stands then."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    try:
        denials.reopen(
            approval_id, actor=actor, reason=request.POST.get("reason", "").strip(), now=timezone.now()
        )
    except (AlreadyResolved, NotAllowed) as error:
        context = page_context(Place.of(request), approval, chosen=True) | {"problem": str(error)}
        status = 403 if isinstance(error, NotAllowed) else 409
        return render_page(
            request, page="inbox/page.html", fragment="inbox/_card.html", context=context, status=status
        )
    if not wants_fragment(request):
        return redirect("card", approval_id)
    return render(request, "inbox/_card.html", card_context(actor, approval, chosen=True))
