"""The people around a request: who looks, who has it, what they say, who watches. Nothing here decides it."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from approvals.access import Actor
from approvals.attention import care
from approvals.exceptions import GateError, Invalid
from approvals.models import Approval
from console.around import around, others_who_look
from console.htmx import wants_fragment
from console.people.entry import actor_of, people_only
from console.views.inbox import visible_or_404


@require_safe
@people_only
def looking(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Who else has the request open."""
    approval = visible_or_404(approval_id, actor_of(request))
    return render(
        request, "care/_looking.html", {"approval": approval} | others_who_look(approval, actor_of(request))
    )


@require_safe
@people_only
def held(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Who has it."""
    actor = actor_of(request)
    return _part(request, "care/_held.html", visible_or_404(approval_id, actor), actor)


@require_safe
@people_only
def timeline(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """What happened to it."""
    actor = actor_of(request)
    return _part(request, "care/_timeline.html", visible_or_404(approval_id, actor), actor)


@require_POST
@people_only
def take(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Take it up, from nobody or from who is shown to have it."""
    held_by = request.POST.get("held_by", "")
    return _do(
        request,
        approval_id,
        lambda actor: care.take(approval_id, actor=actor, held_by=held_by, now=timezone.now()),
    )


@require_POST
@people_only
def release(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Let go of it."""
    return _do(request, approval_id, lambda actor: care.release(approval_id, actor=actor, now=timezone.now()))


@require_POST
@people_only
def give(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Give it to somebody."""

    def act(actor: Actor) -> None:
        to = User.objects.filter(username=request.POST.get("to", ""), is_active=True).first()
        if to is None:
            raise Invalid("Choose somebody who may decide it.")
        care.give(approval_id, to=to, actor=actor, now=timezone.now())

    return _do(request, approval_id, act)


@require_POST
@people_only
def watch(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Watch it, or no more."""
    on = request.POST.get("on") == "yes"
    return _do(request, approval_id, lambda actor: care.watch(approval_id, actor=actor, on=on))


@require_POST
@people_only
def comment(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Say something about it."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    problem, text = "", request.POST.get("text", "")
    try:
        care.comment(approval_id, actor=actor, text=text, now=timezone.now())
    except GateError as error:
        problem = str(error)
    if not wants_fragment(request):
        if problem:
            messages.warning(request, problem)
        return redirect("card", approval_id)
    context = {"comment_problem": problem, "typed_comment": text if problem else ""}
    return _part(request, "care/_said.html", approval, actor, status=422 if problem else 200, **context)


def _do(request: HttpRequest, approval_id: UUID, act: Callable[[Actor], object]) -> HttpResponse:
    """Do it, and show who has it now; with what spoke against it, if something did."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    problem = ""
    try:
        act(actor)
    except GateError as error:
        problem = str(error)
    if not wants_fragment(request):
        if problem:
            messages.warning(request, problem)
        return redirect("card", approval_id)
    return _part(
        request, "care/_held.html", approval, actor, status=409 if problem else 200, care_problem=problem
    )


def _part(
    request: HttpRequest,
    template: str,
    approval: Approval,
    actor: Actor,
    *,
    status: int = 200,
    **extra: object,
) -> HttpResponse:
    return render(request, template, around(approval, actor) | extra, status=status)
