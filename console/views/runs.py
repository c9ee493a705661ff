"""Runs: the list, and one run as it happens."""

import json
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe

from agents.exceptions import MissingRun
from agents.handover import HANDED_OVER, granted_tools, hand_over, in_words
from agents.masking import hide_in_requests, hide_in_runs, hide_in_steps
from agents.models import Agent, Run, Step, StepKind
from agents.queries import find_runs, get_run, pending_approvals, pending_counts, run_steps, startable_agents
from agents.rehearsals import may_be_rehearsed, rehearsals_of
from agents.runtime.decide.progress import progress
from agents.states import CLAIMABLE_RUN, RunStatus
from agents.undoing import MIDWAY, offered
from approvals.access import ADMIN, OPERATOR, Actor
from approvals.unmasking import planted_beside
from console.htmx import render_page
from console.narration import (
    RUN_WORDS,
    asked_by,
    plan_goal,
    run_state,
    tell_steps,
    undoes,
    undos_of,
    unpriced_models,
)
from console.people.entry import actor_of, people_only
from traces.queries.paging import BadCursor, newest_first

PAGE_RUNS = 30
MAX_TASK = 4000  # characters of a task that fit into a link
STATUSES = [("open", "Not finished"), *((status, RUN_WORDS[status][1]) for status in RunStatus)]


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in the list."""

    run: Run
    tone: str
    state: str
    pending: int


@require_safe
@people_only
def runs(request: HttpRequest) -> HttpResponse:
    """The runs, newest first, by agent, status and text."""
    agent, status, text = (request.GET.get(name, "") for name in ("agent", "status", "text"))
    actor, cursor = actor_of(request), request.GET.get("cursor", "")
    found = find_runs(actor, agent=agent, status=status, text=text)
    try:
        page = newest_first(found, by="created_at", cursor=cursor, size=PAGE_RUNS)
    except BadCursor as error:
        raise Http404(str(error)) from error
    hide_in_runs(page.items, actor)
    pending = pending_counts(page.items)
    context = {
        "lines": [RunLine(run, *run_state(run), pending.get(run.pk, 0)) for run in page.items],
        "older": listed_from(request.GET, page.next),
        "newest": listed_from(request.GET, "") if cursor else "",
        "agents": Agent.objects.values_list("name", flat=True),
        "statuses": STATUSES,
        "agent": agent,
        "status": status,
        "text": text,
        "filtered": bool(agent or status or text),
        "may_steer": may_steer(actor),
        "startable": startable_agents().exists(),
    }
    return render_page(request, page="runs/page.html", fragment="runs/_list.html", context=context)


@require_safe
@people_only
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One run: where it stands and why, what it was asked, and what it did."""
    found = visible_run(request, run_id)
    steps = run_steps(found)
    actor = actor_of(request)
    is_masked = hide_in_steps(found, steps, actor) is not None
    context = _head(found, steps, actor) | {"steps": tell_steps(found, steps), "may_undo": may_steer(actor)}
    context["is_masked"] = is_masked
    return render_page(request, page="runs/run.html", fragment="runs/_head.html", context=context)


@require_safe
@people_only
def steps(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The steps after `after`, and those numbered in `open`, which the page shows as not final."""
    found = visible_run(request, run_id)
    after = _number(request.GET.get("after", ""))
    again = [seq for value in request.GET.getlist("open") if (seq := _number(value)) is not None]
    fresh = run_steps(found, after=after, again=again)
    is_masked = hide_in_steps(found, fresh, actor_of(request)) is not None
    told = tell_steps(found, fresh)
    context = {
        "run": found,
        "steps": told,
        "may_undo": may_steer(actor_of(request)),
        "is_masked": is_masked,
    }
    return render(request, "runs/_steps.html", context)


def visible_run(request: HttpRequest, run_id: UUID) -> Run:
    """The run, or a page that says that there is none."""
    try:
        return get_run(run_id, actor=actor_of(request))
    except MissingRun as error:
        raise Http404(str(error)) from error


def may_steer(actor: Actor) -> bool:
    """Whether the pages offer this person to start, cancel, pause and resume."""
    return bool(actor.roles & {OPERATOR, ADMIN})


def _head(found: Run, steps: list[Step], actor: Actor) -> dict[str, object]:
    tone, state = run_state(found)
    steering = may_steer(actor) and not found.requested
    children = list(found.children.select_related("version__agent").order_by("part", "created_at"))
    hide_in_runs(children, actor)
    asked = list(pending_approvals(found))
    if not found.is_final:
        asked += planted_beside([found.pk])
    hide_in_requests(asked, actor)
    return {
        "run": found,
        "rehearsal": rehearsals_of([found]).get(found.pk),
        "tone": tone,
        "state": state,
        "asked_by": asked_by(found),
        "is_call": bool(steps) and steps[0].kind == StepKind.CALL,
        "handed_over": found.status in HANDED_OVER,
        "account": hand_over(found, steps) if found.is_final else None,
        "undoes": undoes(steps),
        "rollback": _rollback(found, steps) if may_steer(actor) else [],
        "again": _start_again(found) if found.status in HANDED_OVER and may_steer(actor) else "",
        "unpriced": unpriced_models(found) if found.is_final else [],
        "has_observer": any(step.kind == StepKind.OBSERVE for step in steps),
        "goal": plan_goal(steps),
        "plan": progress(steps),
        "children": [RunLine(child, *run_state(child), 0) for child in children],
        "pending": asked,
        "may_replay": may_steer(actor) and may_be_rehearsed(found),
        "may_cancel": steering and not found.is_final,
        "may_pause": steering and found.status in CLAIMABLE_RUN,
        "may_resume": steering and found.status == RunStatus.PAUSED,
    }


def _rollback(found: Run, steps: list[Step]) -> list[str]:
    """What can be taken back of a run that ended midway, newest first, in words."""
    if found.status not in MIDWAY:
        return []
    tools = granted_tools(found)
    return [in_words(undo.call, tools) for undo in offered(undos_of(found, steps))]


def _start_again(found: Run) -> str:
    """A filled form for the same task, with room for a note."""
    task = f"{found.input[:MAX_TASK]}\n\nNote: "
    subject = json.dumps(found.subject, ensure_ascii=False) if found.subject else ""
    return "/runs/start?" + urlencode({"agent": found.version.agent.name, "input": task, "subject": subject})


def listed_from(query: QueryDict, cursor: str | None) -> str:
    """The same list from another place; empty where there is none."""
    if cursor is None:
        return ""
    changed = query.copy()
    changed.pop("cursor", None)
    if cursor:
        changed["cursor"] = cursor
    return f"?{changed.urlencode()}"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 9 else None
