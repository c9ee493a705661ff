"""The emergency stop."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from agents.models import Agent
from agents.tools.known import known_tools
from approvals import halts
from approvals.exceptions import Missing, NotAllowed
from approvals.models import Halt
from approvals.queries import standing_halts
from console.people.entry import actor_of, people_only


class HaltForm(forms.Form):
    """What to stop, and why."""

    agent = forms.ChoiceField(required=False, label="What")
    tool = forms.CharField(max_length=128, required=False, label="Only one tool")
    reason = forms.CharField(max_length=500, label="Why")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        names = Agent.objects.values_list("name", flat=True)
        self.fields["agent"].choices = [("", "All agents"), *((name, name) for name in names)]  # type: ignore[attr-defined]

    def clean_tool(self) -> str:
        """Refuse a name that no agent knows: it would stop nothing, and whoever pressed would believe that it did."""
        name: str = self.cleaned_data["tool"]
        if name and name not in known_tools():
            raise forms.ValidationError(f"No agent has a tool {name!r}, so nothing was stopped.")
        return name


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def halt(request: HttpRequest) -> HttpResponse:
    """What is stopped, with a form to stop all agents or one."""
    form = HaltForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        agent = form.cleaned_data["agent"]
        try:
            row = halts.halt(
                actor=actor_of(request),
                now=timezone.now(),
                agent=agent,
                tool=form.cleaned_data["tool"],
                reason=form.cleaned_data["reason"],
            )
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from error
        messages.warning(request, f"{_named(row)} stopped. Calls under way end; nothing new begins.")
        return redirect("halt")
    status = 422 if form.errors else 200
    return render(
        request,
        "halt/page.html",
        {"form": form, "standing": standing_halts(), "tools": known_tools()},
        status=status,
    )


@require_POST
@people_only
def lift(request: HttpRequest) -> HttpResponse:
    """Let an agent, or all, go on."""
    agent, tool = request.POST.get("agent", ""), request.POST.get("tool", "")
    try:
        halts.lift_halt(actor=actor_of(request), now=timezone.now(), agent=agent, tool=tool)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except Missing as error:
        messages.info(request, str(error))
    else:
        messages.success(request, f"{_named(Halt(agent=agent, tool=tool))} may go on.")
    return redirect("halt")


def _named(row: Halt) -> str:
    """What it stops, at the beginning of a sentence; names stay as they are."""
    return row.what if row.agent or row.tool else "All agents"
