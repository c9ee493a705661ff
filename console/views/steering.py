"""What people do to runs: start one by hand, cancel, pause, resume."""

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from agents import actions
from agents.exceptions import AgentError, BadInput, MissingRun, WrongState
from agents.queries import startable_agents
from agents.rehearsals import replay_run
from approvals.exceptions import NotAllowed
from console.people.entry import actor_of, people_only
from console.views.runs import may_steer, visible_run


class StartForm(forms.Form):
    """What an agent shall do, and for whom."""

    agent = forms.ChoiceField(label="Agent")
    input = forms.CharField(
        label="What it should do",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        error_messages={"required": "Say what the agent should do."},
    )
    subject = forms.CharField(
        label="For whom",
        required=False,
        help_text='A customer id, such as C-1042, or JSON: {"customer_id": "C-1042"}',
    )
    trusted = forms.BooleanField(label="I wrote every word of this myself", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # All but gateways, which ask no model; a configuration that says no pattern has the usual one.
        pattern = Q(live_version__config__pattern__isnull=True) | ~Q(live_version__config__pattern="gateway")
        agents = startable_agents().filter(pattern)
        names = [(agent.name, agent.name) for agent in agents]
        self.fields["agent"].choices = names  # type: ignore[attr-defined]

    def clean_subject(self) -> dict[str, Any]:
        """As start_run takes it."""
        text: str = self.cleaned_data["subject"].strip()
        if not text:
            return {}
        if not text.startswith(("{", "[")):
            return {"customer_id": text}
        try:
            subject = json.loads(text)
        except ValueError as error:
            raise ValidationError(
                f"This is no JSON: {error}. Write an id alone, or an object in braces."
            ) from error
        if not isinstance(subject, dict):
            raise ValidationError('Write one JSON object, such as {"customer_id": "C-1042"}.')
        return subject


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def start(request: HttpRequest) -> HttpResponse:
    """A form that starts a run, and leads to its page."""
    actor = actor_of(request)
    if not may_steer(actor):
        raise PermissionDenied("Starting a run needs the role operator or admin; ask an admin for it.")
    form = StartForm(request.POST) if request.method == "POST" else StartForm(initial=request.GET.dict())
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            run = actions.start_run(
                agent=wanted["agent"],
                input=wanted["input"],
                subject=wanted["subject"],
                actor=actor,
                trusted_input=wanted["trusted"],
            )
        except AgentError as error:
            form.add_error(_field(error), str(error))
        else:
            return redirect("run", run_id=run.pk)
    return render(request, "runs/start.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def cancel(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Ask whether the run shall really end, and why; then have it end."""
    if request.method == "POST":
        reason = request.POST.get("reason", "")[:500]
        return _steer(
            request, run_id, "Asked to cancel: it ends at its next step.", actions.cancel_run, reason=reason
        )
    return render(request, "runs/cancel.html", {"run": visible_run(request, run_id)})


@require_POST
@people_only
def pause(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Have the run stop at its next step."""
    return _steer(request, run_id, "Asked to pause: it stops at its next step.", actions.pause_run)


@require_POST
@people_only
def resume(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Let a paused run go on."""
    return _steer(request, run_id, "It goes on.", actions.resume_run)


@require_POST
@people_only
def replay(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Run its task again with what its calls were told, and lead to the run that does."""
    try:
        return redirect("run", run_id=replay_run(run_id, actor=actor_of(request)).pk)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except MissingRun as error:
        raise Http404(str(error)) from error
    except (WrongState, BadInput) as error:
        messages.warning(request, str(error))
        return redirect("run", run_id=run_id)


def _steer(request: HttpRequest, run_id: UUID, done: str, action: Any, **extra: str) -> HttpResponse:
    try:
        action(run_id=run_id, actor=actor_of(request), **extra)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except MissingRun as error:
        raise Http404(str(error)) from error
    except WrongState as error:
        messages.warning(request, str(error))
    else:
        messages.success(request, done)
    return redirect("run", run_id=run_id)


def _field(error: AgentError) -> str | None:
    """The field of the form that is wrong, where the error names one."""
    for place in error.errors:
        if place["path"] and place["path"][0] in StartForm.base_fields:
            return str(place["path"][0])
    return "agent" if error.code == "unknown_agent" else None
