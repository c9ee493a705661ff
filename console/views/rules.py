"""Rules: which decide about which tool, and the editor in which an admin changes those of one agent."""

from collections import defaultdict
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from agents.actions import publish
from agents.advice import confirmation, loosened
from agents.checking import check_config
from agents.config import AgentConfig
from agents.exceptions import BadConfig, UnknownAgent
from agents.models import AgentVersion
from agents.rulebook import Cover, coverage, granted, live_version, try_out
from approvals.access import ADMIN
from console.people.entry import actor_of, people_only
from console.rule_form import COMPARISONS, CONDITIONS, PEOPLE, as_policy, changed_by, rows_of, rows_sent

CHANGES_SHOWN = 100


@require_safe
@people_only
def overview(request: HttpRequest) -> HttpResponse:
    """Agents and their tools: which rule decides, and where the default does."""
    agents: dict[str, list[Cover]] = defaultdict(list)
    for cover in coverage():
        agents[cover.agent].append(cover)
    return render(request, "rules/page.html", {"agents": dict(agents)})


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def editor(request: HttpRequest, name: str) -> HttpResponse:
    """The rules of an agent in their order; admins change, try and publish them, others read."""
    try:
        live = live_version(name)
    except UnknownAgent as error:
        raise Http404(str(error)) from error
    actor = actor_of(request)
    rows = rows_of(live.parsed.policy)
    if request.method != "POST":
        return _page(request, live, rows)
    if ADMIN not in actor.roles:
        raise PermissionDenied("Changing rules needs the role admin.")
    form, button = request.POST.dict(), request.POST.get("do", "")
    rows = changed_by(rows_sent(form), button, form)
    if button not in ("try", "publish"):
        return _page(request, live, rows)
    try:
        config = check_config(live.config | {"policy": as_policy(rows)})
    except BadConfig as error:
        return _page(
            request, live, rows, status=422, mistakes=error.errors or [{"path": [], "message": str(error)}]
        )
    if button == "try":
        trial = try_out(name, live.parsed.rules(), config.rules())
        context = {"trial": trial, "changed": trial.changed[:CHANGES_SHOWN]}
        return _page(request, live, rows, context=context)
    if form.get("based_on") != str(live.number):
        told = f"{live} was published meanwhile: look at its rules, and change those."
        return _page(request, live, rows, status=409, mistakes=[{"path": [], "message": told}])
    told_before = loosened(config, live.parsed)
    if told_before and form.get("confirmed") != confirmation(told_before):
        context = {"loosened": told_before, "confirmation": confirmation(told_before)}
        return _page(request, live, rows, status=422, context=context)
    version, is_new = publish(
        name=name,
        config=config.model_dump(mode="json", exclude_defaults=True),
        actor=actor.user,
        note=form.get("note", "").strip()[:300] or "Rules changed",
    )
    if is_new:
        messages.success(request, f"{version} is published: its rules hold from now on.")
    else:
        messages.info(request, f"Nothing is changed: {version} stays as it is.")
    return redirect("edit-rules", name)


def _page(
    request: HttpRequest,
    live: AgentVersion,
    rows: list[dict[str, str]],
    *,
    status: int = 200,
    mistakes: list[dict[str, Any]] | None = None,
    context: dict[str, Any] | None = None,
) -> HttpResponse:
    numbered = []
    for place, row in enumerate(rows):
        wrong = [str(each["message"]) for each in mistakes or [] if each["path"][:2] == ["policy", place]]
        numbered.append({"place": place, "number": place + 1, "values": row, "wrong": wrong})
    general = [str(each["message"]) for each in mistakes or [] if each["path"][:1] != ["policy"]]
    config = live.parsed
    values: dict[str, Any] = {
        "live": live,
        "rows": numbered,
        "general": general,
        "tools": sorted(name for name, tool in granted(config).items() if not tool.built_in),
        "topics": _topics(config),
        "conditions": CONDITIONS,
        "comparisons": COMPARISONS,
        "people": PEOPLE,
        "may_edit": ADMIN in actor_of(request).roles,
        "note": request.POST.get("note", ""),
    }
    return render(request, "rules/editor.html", values | (context or {}), status=status)


def _topics(config: AgentConfig) -> list[str]:
    """What a condition may compare: the arguments of the tools, and of whom it is on behalf."""
    names = {
        name
        for tool in granted(config).values()
        if not tool.built_in
        for name, schema in tool.parameters.get("properties", {}).items()
        if name.isidentifier() and isinstance(schema, dict)
    }
    arguments = [f"arguments.{name}" for name in sorted(names)]
    return [*arguments, "subject.customer_id", "subject.role", "now.getHours()", "category"]
