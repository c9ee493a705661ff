"""The audit log: who did what, whether it is sealed, and how anybody can check that."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from kombu.exceptions import OperationalError

from agents.hidden import hidden_from, masked_names
from agents.masking import masks_of
from approvals.access import ADMIN, ANALYST
from console import audit_words
from console.audit_words import KINDS, WORK
from console.htmx import render_page
from console.people.entry import actor_of, people_only
from console.receipts import receipt_of
from console.tasks import verify_audit
from console.views.inbox import visible_or_404
from console.views.runs import listed_from
from traces.audit import keys
from traces.audit.export import document, excerpt_lines, written
from traces.audit.sealer import seal_due, unsealed_count
from traces.audit.stored import last_verification
from traces.models import Event
from traces.queries.audit import find_events, newest_events
from traces.queries.paging import BadCursor
from traces.recorder import record

AUDITORS = frozenset({ADMIN, ANALYST})
MOST = 20_000  # events of one export; the command `audit export` has no limit


@dataclass(frozen=True, slots=True)
class Filter:
    """What the page is asked for."""

    kind: str
    who: str
    about: str
    run: str
    since: str
    until: str

    @property
    def chosen(self) -> dict[str, str]:
        """What is filtered by."""
        fields = ("kind", "who", "about", "run", "since", "until")
        return {name: value for name in fields if (value := getattr(self, name))}

    def events(self) -> QuerySet[Event]:
        """The events that match. Raises Http404 where a value can't be read."""
        run_id = audit_words.as_uuid(self.run)
        if self.run and run_id is None:
            raise Http404(f"{self.run} is no id of a run.")
        until = _day(self.until)
        return find_events(
            kind=KINDS[self.kind][1] if self.kind in KINDS else None,
            actors=audit_words.actors_named(self.who),
            about=audit_words.about(self.about, run_id),
            since=_day(self.since),
            until=until + timedelta(days=1) if until else None,
            work=self.kind == WORK,
        )


@require_safe
@people_only
def audit(request: HttpRequest) -> HttpResponse:
    """The log, newest first."""
    asked, cursor = _filter(request.GET), request.GET.get("cursor", "")
    try:
        page = newest_events(asked.events(), cursor=cursor)
    except BadCursor as error:
        raise Http404(str(error)) from error
    seal = audit_words.newest_seal()
    query = request.GET.copy()
    query.pop("cursor", None)
    context: dict[str, Any] = {
        "events": audit_words.tell(page.items, actor_of(request)),
        "asked": asked,
        "kinds": [(word, label) for word, (label, _) in KINDS.items()],
        "older": listed_from(request.GET, page.next),
        "newest": listed_from(request.GET, "") if cursor else "",
        "seal": seal,
        "unsealed": unsealed_count(),
        "keys": keys.public_keys(),
        "verified": last_verification(),
        "is_auditor": bool(actor_of(request).roles & AUDITORS),
        "query": f"?{query.urlencode()}" if query else "",
    }
    return render_page(request, page="audit/page.html", fragment="audit/_list.html", context=context)


@require_safe
@people_only
def export(request: HttpRequest) -> HttpResponse:
    """The events that match, with the proof that each was sealed, as a file that `audit verify` reads."""
    actor = actor_of(request)
    if not actor.roles & AUDITORS:
        raise PermissionDenied("Exporting the audit log needs the role admin or analyst.")
    asked = _filter(request.GET)
    rows = asked.events()
    worded = rows.filter(name="approval.edited").values_list("run_id", flat=True)
    if hidden := hidden_from(actor, {pk for pk in worded if pk}):  # an edit holds the arguments
        rows = rows.exclude(name="approval.edited", run_id__in=hidden)
    made = rows.filter(name="grant.made").values_list("data__agent", "data__tool").distinct()
    for agent, tool in made:  # its scope may name what is masked
        if masked_names(agent, tool, actor):
            rows = rows.exclude(name="grant.made", data__agent=agent, data__tool=tool)
    seal_due(seconds=5)
    count = rows.count()
    if count > MOST:
        raise Http404(
            f"{count:,} events are too many for a page: narrow it down, or use `audit export` on the host."
        )
    record(
        "audit.exported", actor=str(actor), data={"what": "excerpt", "filter": asked.chosen, "events": count}
    )
    # Those that were written just now, this export among them, have no seal yet and stay out.
    lines = excerpt_lines(rows.order_by("pk").iterator(chunk_size=500), filter=asked.chosen)
    return download(
        "".join(written(lines)), f"audit-{timezone.now():%Y%m%d-%H%M%S}.jsonl", "application/jsonl"
    )


@require_POST
@people_only
def verify(request: HttpRequest) -> HttpResponse:
    """Have all of it verified; the result comes as an event."""
    actor = actor_of(request)
    if not actor.roles & AUDITORS:
        raise PermissionDenied("Verifying the audit log needs the role admin or analyst.")
    try:
        verify_audit.apply_async((str(actor),), retry=False)
    except OperationalError:
        messages.error(
            request, "The workers can't be reached now. Try again, or use `audit verify` on the host."
        )
    else:
        messages.info(request, "All of it is being verified; the result appears here.")
    return redirect("audit")


@require_safe
@people_only
def receipt(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """What was shown, decided and executed, with the proof that the log says so; `audit verify` reads it."""
    approval = visible_or_404(approval_id, actor_of(request))
    if masks_of(approval):
        raise PermissionDenied("Some of its arguments are masked for you; the log holds them.")
    seal_due(seconds=5)
    made = receipt_of(approval)
    if made is None:
        raise Http404("This request was not decided by a person: there is no receipt.")
    lines = excerpt_lines(made.events, claims=made.claims, approval=str(approval.pk))
    return download(document(lines), f"receipt-{approval.pk}.json", "application/json")


def download(content: str, name: str, kind: str) -> HttpResponse:
    """A file for the browser to keep."""
    return HttpResponse(
        content, content_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _filter(query: QueryDict) -> Filter:
    names = ("kind", "who", "about", "run", "since", "until")
    return Filter(**{name: query.get(name, "").replace("\x00", "").strip() for name in names})


def _day(text: str) -> datetime | None:
    """The beginning of a day, in UTC. Raises Http404 where it can't be read."""
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
    except ValueError as error:
        raise Http404(f"{text!r} is no day: write it as 2026-11-30.") from error
