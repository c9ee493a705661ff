"""Standing grants: from the card of a request, from history, and the page of those that hold."""

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from agents.hidden import masked_names
from agents.masking import masks_of
from approvals import grants
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, GateError, Invalid, Missing, NotAllowed
from approvals.masks import Scrubber
from approvals.models import Approval, Grant
from approvals.proposals import proposals, propose
from approvals.scopes import ANY, AT_MOST, EQUAL, ONE_OF, in_words
from console.cards import Card
from console.htmx import render_page
from console.people.entry import actor_of, people_only
from console.people.proof import prove
from console.queue import Place
from console.views.inbox import TIMES, page_context, visible_or_404

ENDED_SHOWN = 50


@require_safe
@people_only
def page(request: HttpRequest) -> HttpResponse:
    """What is allowed without asking, now and before, and what could be."""
    now, actor = timezone.now(), actor_of(request)
    context = {
        "live": [_told(grant, actor) for grant in grants.live(now)],
        "waiting": [_told(grant, actor) for grant in grants.waiting_for_confirmation(now)],
        "over": [_told(grant, actor) for grant in grants.over(now)[:ENDED_SHOWN]],
        "proposals": [each for each in proposals(now=now) if not masked_names(each.agent, each.tool, actor)],
        "times": TIMES,
        "actor": actor,
        "now": now,
    }
    return render_page(request, page="grants/page.html", fragment="grants/_lists.html", context=context)


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def from_card(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Allow calls like the one on the card; the request itself still waits."""
    actor = actor_of(request)
    approval = visible_or_404(approval_id, actor)
    if masks_of(approval):
        raise PermissionDenied("Some of its arguments are masked for you, so you can't grant calls like it.")
    form, now = request.POST, timezone.now()
    if request.method != "POST":
        return _form(request, actor, approval)
    try:
        if form.get("code", "").strip() and Card(approval, actor, now).grant_step_up:
            actor = prove(request, form["code"])
        grant = grants.grant_from_card(
            approval_id,
            actor=actor,
            digest=form.get("digest", ""),
            scope=_scope(form.dict(), approval.arguments),
            uses=int(_number(form.get("uses", ""), "how often")),
            seconds=_number(form.get("seconds", ""), "how long"),
            now=now,
            subject_only="subject_only" in form,
            tainted="tainted" in form,
            budget_of=form.get("budget_of", ""),
            budget=_number(form["budget"], "the budget") if form.get("budget", "").strip() else None,
            reason=form.get("reason", "").strip()[:2000],
        )
    except GateError as error:
        codes: list[tuple[type[GateError], int]] = [(NotAllowed, 403), (AlreadyResolved, 409)]
        status = next((code for kind, code in codes if isinstance(error, kind)), 422)
        return _form(request, actor, visible_or_404(approval_id, actor), problem=str(error), status=status)
    if grant is None:  # a planted test, which this ended: its card tells
        approval = visible_or_404(approval_id, actor)
    context = page_context(Place.of(request), approval, chosen=True)
    context |= {"made": _told(grant, actor) if grant else None}
    return render_page(request, page="inbox/page.html", fragment="inbox/_card.html", context=context)


def _form(
    request: HttpRequest, actor: Actor, approval: Approval, *, problem: str = "", status: int = 200
) -> HttpResponse:
    """The limits of a grant, to be filled in."""
    context = page_context(Place.of(request), approval, chosen=True) | {"grant_problem": problem}
    return render_page(
        request, page="inbox/grant_page.html", fragment="inbox/_grant.html", context=context, status=status
    )


@require_POST
@people_only
def from_history(request: HttpRequest) -> HttpResponse:
    """Make a grant of a proposal."""
    form, now, actor = request.POST, timezone.now(), actor_of(request)
    _require_sees_all(form.get("agent", ""), form.get("tool", ""), actor)
    try:
        offer = propose(
            form.get("agent", ""),
            form.get("tool", ""),
            uses=int(_number(form.get("uses", ""), "how often")),
            seconds=_number(form.get("seconds", ""), "how long"),
            now=now,
        )
        grant = grants.give(offer, actor=actor, now=now)
    except GateError as error:
        messages.error(request, str(error))
    else:
        told = "is live" if grant.live_at else "waits for a second person to confirm it"
        messages.success(request, f"The grant for {grant.tool} {told}.")
    return redirect("grants")


@require_POST
@people_only
def confirm(request: HttpRequest, grant_id: UUID) -> HttpResponse:
    """Say yes to a grant that somebody else made."""
    return _change(request, grant_id, "confirm")


@require_POST
@people_only
def revoke(request: HttpRequest, grant_id: UUID) -> HttpResponse:
    """End a grant at once."""
    return _change(request, grant_id, "revoke")


def _change(request: HttpRequest, grant_id: UUID, what: str) -> HttpResponse:
    actor, now = actor_of(request), timezone.now()
    try:
        if what == "confirm":
            made = Grant.objects.filter(pk=grant_id).first()
            if made is not None:
                _require_sees_all(made.agent, made.tool, actor)
            grant = grants.confirm(grant_id, actor=actor, now=now)
            told = "is live." if grant.live_at else "waits for one more."
        else:
            reason = request.POST.get("reason", "").strip()[:2000]
            grant = grants.revoke(grant_id, actor=actor, now=now, reason=reason)
            told = "is revoked: from now on people are asked."
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except Missing as error:
        raise Http404(str(error)) from error
    except GateError as error:
        messages.info(request, str(error))
    else:
        messages.success(request, f"The grant for {grant.tool} {told}")
    return redirect("grants")


def _require_sees_all(agent: str, tool: str, actor: Actor) -> None:
    if names := masked_names(agent, tool, actor):
        raise PermissionDenied(
            f"Of {tool}, {', '.join(sorted(names))} is masked for you: somebody else must."
        )


def _told(grant: Grant, actor: Actor) -> dict[str, Any]:
    hidden = masked_names(grant.agent, grant.tool, actor)
    shown = {name: limit for name, limit in grant.scope.items() if name not in hidden}
    limits = Scrubber(grant.scope[name].get("value") for name in grant.scope if name in hidden)
    return {
        "row": grant,
        "reason": limits.text(grant.reason),
        "hides_budget": grant.budget_of in hidden,  # what is spent of it are the amounts of its calls
        "scope": in_words(shown) + [f"{name} is masked for you" for name in grant.scope if name in hidden],
        "left": grant.uses - grant.used,
        "confirmed": [row.user.get_username() for row in grant.confirmations.all()],
        "missing": grant.approvers - len(grant.confirmations.all()),
    }


def _scope(form: dict[str, str], arguments: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The limits as the form says them. Raises Invalid."""
    scope: dict[str, dict[str, Any]] = {}
    for name, shown in arguments.items():
        kind, text = form.get(f"limit.{name}", EQUAL), form.get(f"value.{name}", "").strip()
        match kind:
            case "equal":
                scope[name] = {"is": EQUAL, "value": shown}
            case "at_most":
                scope[name] = {"is": AT_MOST, "value": _number(text, name)}
            case "one_of":
                parts = [part.strip() for part in text.split(",") if part.strip()]
                scope[name] = {"is": ONE_OF, "value": [_like(part, shown) for part in parts]}
            case "any":
                scope[name] = {"is": ANY}
            case _:
                raise Invalid(f"{name}: {kind!r} is no limit.")
    return scope


def _like(text: str, shown: Any) -> Any:
    """A value of the kind that the call has there."""
    if isinstance(shown, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str, what: str) -> float:
    try:
        number = float(text.strip())
    except ValueError as error:
        raise Invalid(f"{text!r} is no number: say {what} in digits.") from error
    return int(number) if number.is_integer() else number
