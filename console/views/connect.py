"""Connect: how a team's own agents come through the gate, and the token by which one does."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Case, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from agents.queries import startable_agents
from approvals.access import ADMIN, SERVICE, Actor
from console.gateway.calling import MAX_WAIT, WAIT_SECONDS
from console.people.entry import actor_of, people_only
from console.people.roles import RoleConflict, user_with
from console.people.tokens import SCOPES, BadToken, make_token
from console.recipes import RECIPES
from console.views.runs import may_steer

TICKED = ("read", "ask", "mcp")  # what the snippets need
TERMS = [("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked")]


class TokenForm(forms.Form):
    """Which program comes, as which agent, and what it may do."""

    name = forms.CharField(label="Program", max_length=150)
    agent = forms.ChoiceField(label="Agent", required=False)
    scopes = forms.MultipleChoiceField(
        label="It may", error_messages={"required": "Tick at least one: a token without any could do all."}
    )
    term = forms.ChoiceField(label="Good for", required=False, choices=TERMS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: dict[str, Any] = self.fields
        fields["agent"].choices = _agents()
        fields["scopes"].choices = [(scope, what) for scope, what in SCOPES.items() if scope != "decide"]

    def make(self, actor: Actor) -> str:
        """The token. Raises ValidationError, which names the field."""
        wanted = self.cleaned_data
        try:
            with transaction.atomic():
                user, _ = user_with(wanted["name"], SERVICE)
                return make_token(
                    user=user,
                    role=SERVICE,
                    scopes=wanted["scopes"],
                    agent=wanted["agent"],
                    lasts=timedelta(days=int(wanted["term"])) if wanted["term"] else None,
                    by=str(actor),
                    now=timezone.now(),
                )
        except ValidationError as error:
            raise ValidationError({"name": error.messages}) from error
        except RoleConflict as error:
            raise ValidationError({"name": str(error)}) from error
        except BadToken as error:
            raise ValidationError(str(error)) from error


@require_http_methods(["GET", "HEAD", "POST"])
@people_only
def connect(request: HttpRequest) -> HttpResponse:
    """What a program gets, a form for its token, and code that uses it."""
    actor = actor_of(request)
    if not may_steer(actor):
        raise PermissionDenied("Connecting programs needs the role operator or admin; ask an admin for it.")
    may_make = ADMIN in actor.roles
    token, posted = "", request.method == "POST"
    if posted and not may_make:
        raise PermissionDenied("Only an admin makes tokens; ask one for it.")
    form = TokenForm(request.POST) if posted else TokenForm(initial=_first_choice())
    if form.is_valid():
        try:
            token = form.make(actor)
        except ValidationError as error:
            form.add_error(None, error)
    context = {
        "form": form,
        "may_make": may_make,
        "programs": User.objects.filter(groups__name=SERVICE, is_active=True).order_by("username"),
        "token": token,
        "recipes": [(each, each.filled(base_url=settings.BASE_URL, token=token)) for each in RECIPES],
        "base_url": settings.BASE_URL,
        "wait": int(WAIT_SECONDS),
        "max_wait": int(MAX_WAIT),
    }
    return render(request, "connect/page.html", context, status=422 if form.errors else 200)


def _agents() -> list[tuple[str, str]]:
    """The agents whose tools and policy a program may get, gateways first."""
    first = Case(When(live_version__config__pattern="gateway", then=Value(0)), default=Value(1))
    agents = startable_agents().order_by(first, "name")
    named = [(agent.name, f"{agent.name}{_kind(agent)}") for agent in agents]
    return [*named, ("", "none: it asks about tools of its own")]


def _kind(agent: Any) -> str:
    return " (gateway)" if agent.live_version.config.get("pattern") == "gateway" else ""


def _first_choice() -> dict[str, Any]:
    return {"scopes": TICKED, "term": "90", "agent": _agents()[0][0]}
