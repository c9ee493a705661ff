"""Several requests at once: what was chosen is listed as it was shown, counted by a person, and decided one by one."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from agents.bulk import MOST, Frozen, decide_each
from agents.masking import hide_in_requests
from approvals.access import Actor, visible_approvals
from approvals.models import Approval, Kind
from approvals.queries import by_risk
from console.cards import REJECTIONS, Card
from console.people.entry import actor_of, people_only
from console.views.decision import REASON_MAX

WORDS = {
    "done": {"approve": "Approved", "reject": "Rejected"},
    "voted": "Your yes counts, more are needed",
    "already_resolved": "Already resolved",
    "changed": "Changed since it was shown to you",
    "not_allowed": "Not allowed",
    "not_found": "Not found",
    "invalid": "Not possible",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One of what was chosen, on the page that asks to confirm; `ticked`: as the form has it."""

    card: Card
    ticked: bool

    @property
    def value(self) -> str:
        return f"{self.card.approval.pk}:{self.card.approval.digest}"


@require_POST
@people_only
def choose(request: HttpRequest) -> HttpResponse:
    """List what was chosen, and ask for the decision; changes nothing."""
    return _ask(request, actor_of(request), problem="")


@require_POST
@people_only
def decide(request: HttpRequest) -> HttpResponse:
    """Decide what is ticked, if the person counted it right; one result for each."""
    actor = actor_of(request)
    ticked = _chosen(request.POST.getlist("ticked"))
    decision, reason = request.POST.get("decision", ""), request.POST.get("reason", "").strip()
    if problem := _problem(ticked, decision, reason, request.POST.get("count", "").strip()):
        return _ask(request, actor, problem=problem, status=422)
    results = decide_each(
        [Frozen(pk, digest, decision, reason) for pk, digest in ticked.items()], actor=actor
    )
    rows = list(visible_approvals(actor).filter(pk__in=ticked))
    hide_in_requests(rows, actor)
    titles = {row.pk: row.title for row in rows}
    shown = [
        {
            "id": each.id,
            "title": titles.get(each.id, str(each.id)),
            "good": each.result in ("done", "voted"),
            "words": WORDS["done"][decision] if each.result == "done" else WORDS[each.result],  # type: ignore[index]
            "detail": each.detail,
        }
        for each in results
    ]
    done = sum(each["good"] is True for each in shown)
    return render(
        request, "inbox/bulk_done.html", {"results": shown, "done": done, "others": len(shown) - done}
    )


def _problem(ticked: dict[UUID, str], decision: str, reason: str, count: str) -> str:
    """Why nothing is decided; empty where nothing speaks against it."""
    if not ticked:
        return "Tick at least one request."
    if len(ticked) > MOST:
        return f"{len(ticked)} are ticked: decide at most {MOST} at once."
    if decision not in ("approve", "reject"):
        return "Choose whether to approve or to reject."
    if decision == "reject" and not reason:
        return "Say why you reject: the agents are told."
    if len(reason) > REASON_MAX:
        return f"The reason has {len(reason):,} characters: use at most {REASON_MAX:,}."
    if count != str(len(ticked)):
        return f"{len(ticked)} are ticked, and you typed {count or 'nothing'}: count again."
    return ""


def _ask(request: HttpRequest, actor: Actor, *, problem: str, status: int = 200) -> HttpResponse:
    chosen = _chosen(request.POST.getlist("chosen"))
    again = "ticked" in request.POST or "count" in request.POST
    ticked = _chosen(request.POST.getlist("ticked"))
    if len(chosen) > MOST:
        problem, status = f"{len(chosen)} were chosen: decide at most {MOST} at once.", 422
        chosen = {}
    now = timezone.now()
    found = {row.pk: row for row in by_risk(visible_approvals(actor).filter(pk__in=chosen))}
    hide_in_requests(list(found.values()), actor)
    lines, left_out = [], []
    for approval in found.values():
        card = Card(approval, actor, now)
        if why := _why_left_out(card, chosen[approval.pk]):
            left_out.append({"approval": approval, "why": why})
        else:
            # High risk is never ticked for a person.
            lines.append(Line(card, approval.pk in ticked if again else not card.is_high))
    context: dict[str, Any] = {
        "lines": lines,
        "left_out": left_out,
        "chosen": [f"{pk}:{digest}" for pk, digest in chosen.items()],
        "problem": problem,
        "rejections": REJECTIONS,
        "typed_reason": request.POST.get("reason", ""),
        "count": sum(line.ticked for line in lines),
    }
    return render(request, "inbox/bulk.html", context, status=status)


def _why_left_out(card: Card, digest: str) -> str:
    approval: Approval = card.approval
    if not card.is_pending:
        return f"It was {approval.get_status_display().lower()} meanwhile."
    if approval.digest != digest:
        return "It changed since it was shown to you: open it."
    if approval.kind != Kind.ACTION:
        return "It wants an answer of its own: open it."
    if card.why_not:
        return card.why_not
    return "Approving it takes your second factor: open it." if card.step_up else ""


def _chosen(values: list[str]) -> dict[UUID, str]:
    """The digest of each id; what can't be read is no choice."""
    chosen: dict[UUID, str] = {}
    for value in values:
        pk, _, digest = value.partition(":")
        try:
            chosen[UUID(pk)] = digest[:64]
        except ValueError:
            continue
    return chosen
