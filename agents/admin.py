"""Agents for admins: configured by a form whose saving publishes a version; runs and their parts for reading."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin, TabularInline

from agents.actions import publish, roll_back
from agents.advice import confirmation, loosened, warnings
from agents.comparison import compare
from agents.config.models import ROLES
from agents.credentials_admin import CredentialAdmin
from agents.exceptions import AgentError
from agents.form_sections import BEHAVIOUR_SECTIONS, PATTERN_SECTIONS, field_of
from agents.forms import GUARDRAILS, LIMITS, AgentForm
from agents.memory.admin import MemoryAdmin
from agents.models import Agent, AgentVersion, Run, Step, ToolCall
from agents.prices_admin import PriceAdmin
from agents.sources_admin import ToolSourceAdmin
from traces.admin import History, ReadOnly

__all__ = ["AgentAdmin", "CredentialAdmin", "MemoryAdmin", "PriceAdmin", "ToolSourceAdmin"]


@admin.register(Agent)
class AgentAdmin(ModelAdmin):
    """What an agent is. Saving publishes a new version; runs that go on keep the version they began with."""

    form = AgentForm
    list_display = ("name", "version", "purpose", "published_at", "published_by")
    list_select_related = ("live_version__published_by",)
    search_fields = ("name",)
    show_full_result_count = False
    change_form_before_template = "admin/agents/agent/_mistakes.html"
    change_form_outer_after_template = "admin/agents/agent/_versions.html"
    warn_unsaved_form = True
    fieldsets = (
        (None, {"fields": ("name", "purpose", "pattern", "instructions", "based_on")}),
        ("Models", {"fields": ROLES}),
        ("Tools", {"fields": ("tools", "other_tools")}),
        ("Policy", {"fields": ("policy",)}),
        ("Limits", {"fields": LIMITS}),
        ("Guardrails", {"fields": GUARDRAILS}),
        ("Pattern", {"fields": tuple(field_of(section) for section in PATTERN_SECTIONS)}),
        ("Behaviour", {"fields": BEHAVIOUR_SECTIONS}),
        ("This change", {"fields": ("note",)}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Agent | None = None) -> tuple[str, ...]:
        """The name stays: runs, rules and programs know the agent by it."""
        return ("name",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Nobody: runs refer to it for ever."""
        return False

    def save_model(self, request: HttpRequest, obj: Agent, form: AgentForm, change: bool) -> None:
        """Publish; the agent itself is made by that where it is new."""
        user = request.user
        assert isinstance(user, User)
        version, published = publish(
            name=obj.name, config=form.config, actor=user, note=form.cleaned_data["note"]
        )
        obj.pk = version.agent_id
        obj.live_version = version
        if published:
            messages.success(request, f"{version} is published: runs that start from now on use it.")
            for sentence in warnings(version.parsed, form.live.parsed if form.live else None):
                messages.warning(request, sentence)
        else:
            messages.info(request, f"Nothing is changed: {version} stays as it is.")

    def response_add(
        self, request: HttpRequest, obj: Agent, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Back to the agent, whose message `save_model` has left."""
        return HttpResponseRedirect(reverse("admin:agents_agent_change", args=[obj.pk]))

    def response_change(self, request: HttpRequest, obj: Agent) -> HttpResponse:
        """Likewise."""
        return HttpResponseRedirect(reverse("admin:agents_agent_change", args=[obj.pk]))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """The form, and below it the versions."""
        versions = AgentVersion.objects.none()
        if object_id is not None and object_id.isdecimal():
            versions = AgentVersion.objects.filter(agent_id=int(object_id)).select_related("published_by")
        context = {
            "versions": versions,
            "show_save_and_continue": False,
            "show_save_and_add_another": False,
            **(extra_context or {}),
        }
        return super().changeform_view(request, object_id, form_url, context)

    def get_urls(self) -> list[URLPattern]:
        """With the comparison of two versions, and the way back to one."""
        own = [
            path(
                "<int:agent_id>/versions/<int:left>/<int:right>/",
                self.admin_site.admin_view(self.versions_view),
                name="agents_agent_versions",
            ),
            path(
                "<int:agent_id>/roll-back/<int:number>/",
                self.admin_site.admin_view(self.roll_back_view),
                name="agents_agent_roll_back",
            ),
        ]
        return [*own, *super().get_urls()]

    def versions_view(self, request: HttpRequest, agent_id: int, left: int, right: int) -> HttpResponse:
        """Two versions side by side, the older on the left; with a button for each that is not live."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        agent = get_object_or_404(Agent.objects.select_related("live_version"), pk=agent_id)
        sides = {version.number: version for version in agent.versions.filter(number__in=[left, right])}
        if {left, right} - sides.keys():
            raise Http404(f"{agent} has no such version.")
        older, newer = sides[min(left, right)], sides[max(left, right)]
        lines = compare(older, newer)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{agent}: v{older.number} and v{newer.number}",
            "agent": agent,
            "sides": (older, newer),
            "lines": lines,
            "same": not any(line.differs for line in lines),
            "ways_back": self._ways_back(agent, sides) if self.has_change_permission(request) else [],
        }
        return TemplateResponse(request, "admin/agents/agent/versions.html", context)

    def _ways_back(self, agent: Agent, sides: dict[int, AgentVersion]) -> list[dict[str, Any]]:
        ways = []
        for version in (sides[number] for number in sorted(sides)):
            if agent.live_version is not None and version != agent.live_version:
                told = loosened(version.parsed, agent.live_version.parsed)
                ways.append({"version": version, "loosened": told, "confirmation": confirmation(told)})
        return ways

    def roll_back_view(self, request: HttpRequest, agent_id: int, number: int) -> HttpResponse:
        """Publish an old configuration anew. By POST only, from the page that shows what it changes."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        agent = get_object_or_404(Agent.objects.select_related("live_version"), pk=agent_id)
        if request.method != "POST" or agent.live_version is None:
            return HttpResponseRedirect(reverse("admin:agents_agent_change", args=[agent_id]))
        user = request.user
        assert isinstance(user, User)
        old = agent.versions.filter(number=number).first()
        told = loosened(old.parsed, agent.live_version.parsed) if old else []
        if told and request.POST.get("confirmed") != confirmation(told):
            messages.error(
                request, f"v{number} was not published: confirm that people would no longer be asked."
            )
            numbers = sorted((number, agent.live_version.number))
            return HttpResponseRedirect(reverse("admin:agents_agent_versions", args=[agent_id, *numbers]))
        try:
            version = roll_back(name=agent.name, number=number, actor=user)
        except AgentError as error:  # no such version, or a tool of it is gone
            messages.error(request, f"v{number} was not published: {error}")
        else:
            messages.success(
                request, f"{version} is published, as v{number} was: runs that start from now on use it."
            )
        return HttpResponseRedirect(reverse("admin:agents_agent_change", args=[agent_id]))

    @admin.display(description="Live version")
    def version(self, agent: Agent) -> str:
        """As v3."""
        return f"v{agent.live_version.number}" if agent.live_version else "none"

    @admin.display(description="Purpose")
    def purpose(self, agent: Agent) -> str:
        """Of the live version."""
        return str(agent.live_version.config["purpose"]) if agent.live_version else ""

    @admin.display(description="Published at", ordering="live_version__published_at")
    def published_at(self, agent: Agent) -> Any:
        """Of the live version."""
        return agent.live_version.published_at if agent.live_version else None

    @admin.display(description="Published by")
    def published_by(self, agent: Agent) -> str:
        """A person, or a file from a shell."""
        return str(agent.live_version.published_by or "a file") if agent.live_version else ""


@admin.register(AgentVersion)
class AgentVersionAdmin(History):
    """Published configurations, which never change."""

    list_display = ("__str__", "published_at", "published_by", "note")
    list_select_related = ("agent", "published_by")
    search_fields = ("agent__name",)
    ordering = ("-published_at",)


class ToolCallInline(ReadOnly, TabularInline):
    """The calls that a step proposed."""

    model = ToolCall
    fields = ("tool", "status", "effect", "arguments", "rule")
    show_change_link = True
    extra = 0


@admin.register(Run)
class RunAdmin(History):
    """Runs; they are watched and steered in the console."""

    list_display = ("created_at", "id", "version", "status", "turns", "cost_usd", "started_by")
    list_filter = ("status", "simulated", "version__agent__name")
    list_select_related = ("version__agent", "started_by")
    search_fields = ("=id", "=conversation", "=task_type")
    search_help_text = "An id, a conversation, or a task type"
    ordering = ("-created_at",)


@admin.register(Step)
class StepAdmin(History):
    """Steps of runs."""

    list_display = ("created_at", "run", "seq", "kind")
    list_filter = ("kind",)
    search_fields = ("=run__id",)
    search_help_text = "The id of a run"
    ordering = ("-created_at",)
    inlines = (ToolCallInline,)


@admin.register(ToolCall)
class ToolCallAdmin(History):
    """Tool calls."""

    list_display = ("created_at", "tool", "status", "effect", "run")
    list_filter = ("status", "effect", "tainted")
    search_fields = ("=id", "=run__id", "=tool")
    search_help_text = "An id, the id of a run, or a tool"
    ordering = ("-created_at",)
