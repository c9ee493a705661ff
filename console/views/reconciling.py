"""What the tool's own lookup says now of a call whose outcome was lost."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

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
    return render(request, "inbox/_lookup.html", {"approval": approval, "found": found})
