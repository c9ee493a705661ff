"""The emergency stop."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from agents.models import Agent
from approvals import halts
from approvals.exceptions import Missing, NotAllowed
from approvals.queries import standing_halts
from console.people.entry import actor_of, people_only


class HaltForm(forms.Form):
    """What to stop, and why."""

    agent = forms.ChoiceField(required=False, label="What")
    reason = forms.CharField(max_length=500, label="Why")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        names = Agent.objects.values_list("name", flat=True)
        self.fields["agent"].choices = [("", "All agents"), *((name, name) for name in names)]  # type: ignore[attr-defined]


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def halt(request: HttpRequest) -> HttpResponse:
    """What is stopped, with a form to stop all agents or one."""
    form = HaltForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        agent = form.cleaned_data["agent"]
        try:
            halts.halt(
                actor=actor_of(request), now=timezone.now(), agent=agent, reason=form.cleaned_data["reason"]
            )
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from error
        messages.warning(
            request, f"{agent or 'All agents'} stopped. Calls under way end; nothing new begins."
        )
        return redirect("halt")
    status = 422 if form.errors else 200
    return render(request, "halt/page.html", {"form": form, "standing": standing_halts()}, status=status)


@require_POST
@people_only
def lift(request: HttpRequest) -> HttpResponse:
    """Let an agent, or all, go on."""
    agent = request.POST.get("agent", "")
    try:
        halts.lift_halt(actor=actor_of(request), now=timezone.now(), agent=agent)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except Missing as error:
        messages.info(request, str(error))
    else:
        messages.success(request, f"{agent or 'All agents'} may go on.")
    return redirect("halt")
