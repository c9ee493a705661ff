"""What the tool's own lookup says now of a call whose outcome was lost."""

from dataclasses import replace
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agents.masking import shown_words
from agents.reconciling import look_up
from approvals.models import Kind
from console.people.entry import actor_of, people_only
from console.views.inbox import visible_or_404


@require_safe
@people_only
def lookup(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Look, and say what was found; it changes nothing."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    found = look_up(approval, actor=str(actor)) if approval.kind == Kind.RECONCILE else None
    if found is not None:
        found = replace(
            found, data=shown_words(approval, found.data), error=shown_words(approval, found.error)
        )
    return render(request, "inbox/_lookup.html", {"approval": approval, "found": found})
