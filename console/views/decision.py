"""Deciding: approve, edit, reject, answer, escalate. What can go wrong is said on the card as it stands now."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from agents.decisions import decide, preview_edit
from agents.masking import masks_of
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, GateError, Invalid, NotAllowed, Stale, StepUpNeeded
from approvals.holds import recall as take_back
from approvals.models import Approval, Kind
from approvals.queries import pending_queue, standing_hold
from approvals.states import ApprovalStatus
from approvals.unmasking import told
from console.cards import Card
from console.htmx import render_page, wants_fragment
from console.people.entry import actor_of, people_only
from console.people.proof import prove
from console.queue import Place
from console.schema_form import SchemaForm
from console.views.inbox import SHOWN, card_context, page_context, queue_context, shown, visible_or_404

REASON_MAX = 2000  # characters
PAST = {"approve": "Approved", "edit": "Approved with changes", "reject": "Rejected", "answer": "Answered"}


@require_safe
@people_only
def edit(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """The arguments as a form."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    card = Card(approval, actor, timezone.now())
    if not card.may_decide or approval.kind != Kind.ACTION or masks_of(approval):
        return redirect("card", approval_id)
    return _edit_page(request, actor, approval, SchemaForm(approval.parameters, approval.arguments))


@require_POST
@people_only
def preview_page(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """What the form as it stands would come to; changes nothing."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    if masks_of(approval):
        raise PermissionDenied("Some of its arguments are masked for you.")
    form = SchemaForm(approval.parameters, approval.arguments, request.POST.dict())
    preview: dict[str, Any] = {}
    if not form.errors:
        try:
            preview = preview_edit(approval_id=approval_id, actor=actor, arguments=form.data)
        except GateError as error:
            preview = {"errors": [{"path": [], "message": str(error)}]}
        form.add_errors(preview["errors"])
    return render(request, "inbox/_preview.html", {"form": form, "shown": preview, "approval": approval})


@require_POST
@people_only
def decision(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Take the decision, then open what waits next."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    verdict = request.POST.get("decision", "")
    form = None
    if masks_of(approval) and verdict == "edit":
        return _refused(request, actor, approval, "Some of its arguments are masked for you.", status=403)
    if verdict in ("edit", "answer"):
        values = approval.arguments if verdict == "edit" else {}
        form = SchemaForm(approval.parameters, values, request.POST.dict())
    try:
        _check(request, actor, approval, verdict, form)
        code = request.POST.get("code", "").strip()
        if code and verdict in ("approve", "edit") and Card(approval, actor, timezone.now()).step_up:
            actor = prove(request, code)
        approval = decide(
            approval_id=approval_id,
            actor=actor,
            decision=verdict,
            digest=request.POST.get("digest", ""),
            arguments=form.data if form and verdict == "edit" else None,
            answer=form.data if form and verdict == "answer" else None,
            reason=request.POST.get("reason", "").strip(),
        )
    except Invalid as error:
        approval = visible_or_404(approval_id, actor)
        if approval.status != ApprovalStatus.PENDING:
            return _refused(request, actor, approval, str(error), status=409)
        return _invalid(request, actor, approval, verdict, form, error)
    except (AlreadyResolved, Stale) as error:
        return _refused(request, actor, visible_or_404(approval_id, actor), str(error), status=409)
    except StepUpNeeded as error:
        return _invalid(request, actor, approval, verdict, form, Invalid(str(error)), status=403)
    except NotAllowed as error:
        return _refused(request, actor, approval, str(error), status=403)
    return _done(request, actor, approval, verdict)


@require_POST
@people_only
def recall(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Take back what was approved while it is held."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    reason = request.POST.get("reason", "").strip()[:REASON_MAX]
    try:
        approval = take_back(approval_id, actor=actor, now=timezone.now(), reason=reason)
        shown(approval, actor)
    except AlreadyResolved as error:
        return _refused(request, actor, visible_or_404(approval_id, actor), str(error), status=409)
    except NotAllowed as error:
        return _refused(request, actor, approval, str(error), status=403)
    if not wants_fragment(request):
        messages.success(request, f"Recalled: {approval.title}")
        return redirect("card", approval.pk)
    context = card_context(actor, approval, chosen=True) | queue_context(Place.of(request), approval)
    context |= {"decided": approval, "words": "Recalled, it will not run", "decided_at": timezone.now()}
    return render(request, "inbox/_decided.html", context)


def _check(
    request: HttpRequest, actor: Actor, approval: Approval, verdict: str, form: SchemaForm | None
) -> None:
    """Raise Invalid where the form isn't filled in as a decision needs it."""
    length = len(request.POST.get("reason", "").strip())
    if length > REASON_MAX:
        raise Invalid(f"The reason has {length:,} characters: use at most {REASON_MAX:,}.")
    if form is None:
        return
    if form.errors:
        raise Invalid("Some fields can't be read.")
    is_shown = request.POST.get("digest") == approval.digest
    if verdict == "edit" and is_shown and Card(approval, actor, timezone.now()).is_high:
        if form.data == approval.arguments:
            raise Invalid("You changed nothing: go back and use Approve.")
        if not request.POST.get("confirmed"):
            raise Invalid(
                "Tick the box: this is of high risk, so say that you have checked what will happen."
            )


def _done(request: HttpRequest, actor: Actor, approval: Approval, verdict: str) -> HttpResponse:
    if verdict == "escalate":
        words = "Escalated to the admins"
    elif approval.status == ApprovalStatus.PENDING:
        card = Card(approval, actor, timezone.now())
        if verdict == "reject":
            words = f"Your no counts, {card.terms.denials - len(card.denials)} more needed"
        elif card.hold:
            words = f"Approved, and held until {card.hold.until:%H:%M:%S} UTC"
        else:
            words = f"Your yes counts; {card.missing}"
    else:
        words = PAST[verdict]
    shown(approval, actor)
    place = Place.of(request)
    following = shown(_next(place, approval), actor)
    canary = told(approval, to=actor)
    if not wants_fragment(request):
        messages.success(request, f"{words}: {approval.title}")
        if canary:
            messages.warning(request, canary)
        return redirect(_address(following, place.query()))
    context = card_context(actor, following, chosen=True) | queue_context(place, following)
    context |= {"decided": approval, "words": words, "decided_at": timezone.now(), "canary": canary}
    context["held"] = standing_hold(approval)  # it can be undone
    response = render(request, "inbox/_decided.html", context)
    response.headers["HX-Push-Url"] = _address(following, context["place"])
    return response


def _next(place: Place, decided: Approval) -> Approval | None:
    """What waits next for this person: from the page of the queue that they are on, else from the first."""
    rows = place.rows(pending_queue(place.actor)).exclude(pk=decided.pk).exclude(votes__user=place.actor.user)
    start = (place.page - 1) * SHOWN
    here = next(iter(rows[start : start + 1]), None) if start else None
    return here or rows.first()


def _address(following: Approval | None, place: str) -> str:
    return f"/inbox/{following.pk}{place}" if following else f"/inbox{place}"


def _invalid(
    request: HttpRequest,
    actor: Actor,
    approval: Approval,
    verdict: str,
    form: SchemaForm | None,
    error: Invalid,
    *,
    status: int = 422,
) -> HttpResponse:
    """The form again, with what was typed and what is wrong with it."""
    typed: dict[str, Any] = {
        "typed_reason": request.POST.get("reason", ""),
        "confirmed": "confirmed" in request.POST,
    }
    if form is not None and not form.errors:
        form.add_errors(error.errors or [{"path": [], "message": str(error)}])
    if form is not None and verdict == "edit" and approval.kind == Kind.ACTION:
        return _edit_page(request, actor, approval, form, status=status, extra=typed)
    typed |= {"answer_form": form, "open": verdict}
    return _refused(request, actor, approval, str(error), status=status, extra=typed)


def _refused(
    request: HttpRequest,
    actor: Actor,
    approval: Approval,
    problem: str,
    *,
    status: int,
    extra: dict[str, Any] | None = None,
) -> HttpResponse:
    """The card as it stands now, and why the decision was not taken."""
    context = page_context(Place.of(request), approval, chosen=True) | {"problem": problem} | (extra or {})
    return render_page(
        request, page="inbox/page.html", fragment="inbox/_card.html", context=context, status=status
    )


def _edit_page(
    request: HttpRequest,
    actor: Actor,
    approval: Approval,
    form: SchemaForm,
    *,
    status: int = 200,
    extra: dict[str, Any] | None = None,
) -> HttpResponse:
    context = (
        page_context(Place.of(request), approval, chosen=True) | {"form": form, "shown": {}} | (extra or {})
    )
    return render_page(
        request, page="inbox/edit_page.html", fragment="inbox/_edit.html", context=context, status=status
    )
