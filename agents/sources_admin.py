"""Servers and documents that tools come from, for admins: what they told, what is pinned, and what they changed."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from agents.comparison import Line, side_by_side
from agents.exceptions import BadConfig
from agents.models import PinnedTool, ToolSource
from agents.tools import pins, sources
from approvals.digest import digest_of
from traces.admin import History

State = PinnedTool.State
WAITING = (State.CHANGED, State.NEW)  # for somebody to look


@dataclass(frozen=True, slots=True)
class Told:
    """A pinned tool as the page shows it."""

    tool: PinnedTool
    suspended: str
    lines: list[Line]  # what is pinned, beside what its source tells now
    shown: str  # the digest of what the page shows

    @property
    def waits(self) -> bool:
        """Whether somebody is to look."""
        return self.tool.state in WAITING

    @property
    def may_accept(self) -> bool:
        """Whether it is suspended and there is something to pin."""
        return bool(self.suspended) and self.tool.state != State.GONE


@admin.register(ToolSource)
class ToolSourceAdmin(History):
    """MCP servers and OpenAPI documents. Their tools are called as they are pinned here, or not at all."""

    list_display = ("name", "kind", "place", "tools", "waiting", "error", "listed_at")
    list_filter = ("kind",)
    search_fields = ("name", "place")
    ordering = ("name", "place")
    exclude = ("key",)
    list_before_template = "admin/agents/toolsource/_waiting.html"
    change_form_outer_after_template = "admin/agents/toolsource/_tools.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolSource]:
        """With numbers of tools."""
        known: QuerySet[ToolSource] = super().get_queryset(request)
        return known.annotate(
            known_tools=Count("tools"), waiting_tools=Count("tools", filter=Q(tools__state__in=WAITING))
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """The list, and above it the tools that wait for somebody to look."""
        waiting = PinnedTool.objects.filter(state__in=WAITING).select_related("source")
        return super().changelist_view(request, {"waiting": waiting[:50], **(extra_context or {})})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """What is known of the source, and below it its tools, first those that wait."""
        source = _source(object_id)
        context: dict[str, Any] = {}
        if source is not None:
            tools = [_told(tool) for tool in source.tools.select_related("source", "pinned_by")]
            tools.sort(key=lambda told: not told.waits)
            context = {"source": source, "told": tools, "agents": sources.agents_with(source)}
        return super().changeform_view(request, object_id, form_url, context | (extra_context or {}))

    def get_urls(self) -> list[URLPattern]:
        """With what an admin does about a source or a tool; by POST only."""
        view = self.admin_site.admin_view
        own = [
            path("<uuid:source_id>/ask/", view(self.ask_view), name="agents_toolsource_ask"),
            path("tools/<uuid:tool_id>/<str:what>/", view(self.decide_view), name="agents_toolsource_decide"),
        ]
        return [*own, *super().get_urls()]

    def ask_view(self, request: HttpRequest, source_id: UUID) -> HttpResponse:
        """List its tools again now."""
        source = get_object_or_404(ToolSource, pk=source_id)
        self._require_post(request)
        try:
            sources.ask_again(source)
        except BadConfig as error:
            pins.note_failure(source.key, str(error))
            messages.error(request, str(error))
        else:
            messages.success(request, f"{source} was asked, and its tools compared with what is pinned.")
        return _back_to(source)

    def decide_view(self, request: HttpRequest, tool_id: UUID, what: str) -> HttpResponse:
        """Accept a tool as the page showed it, or refuse it."""
        user = self._require_post(request)
        with transaction.atomic():
            tools = PinnedTool.objects.select_for_update(of=("self",)).select_related("source")
            tool = get_object_or_404(tools, pk=tool_id)
            if request.POST.get("shown") != _shown(tool):
                messages.error(request, f"{tool.name} has changed since this page was shown: look again.")
            elif what == "accept":
                self._accept(request, tool, user)
            elif what == "refuse":
                pins.refuse(tool, actor=user, now=timezone.now())
                messages.success(request, f"{tool.name} is refused: no agent can call it.")
        return _back_to(tool.source)

    def _accept(self, request: HttpRequest, tool: PinnedTool, user: User) -> None:
        try:
            sources.accept(tool, actor=user, now=timezone.now())
        except BadConfig as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{tool.name} may be called as it is now.")

    def _require_post(self, request: HttpRequest) -> User:
        if request.method != "POST" or not self.has_view_permission(request):
            raise PermissionDenied("This is done from the page of the tool source.")
        assert isinstance(request.user, User)
        return request.user

    @admin.display(description="Tools")
    def tools(self, source: ToolSource) -> int:
        """How many it has told of."""
        return int(source.known_tools)  # type: ignore[attr-defined]

    @admin.display(description="To be looked at")
    def waiting(self, source: ToolSource) -> int:
        """How many are changed or new."""
        return int(source.waiting_tools)  # type: ignore[attr-defined]


def _told(tool: PinnedTool) -> Told:
    before = _as_text(tool.definition)
    lines = side_by_side(before, _as_text(tool.seen) if tool.seen else before)
    return Told(tool, pins.suspended(tool), lines, _shown(tool))


def _shown(tool: PinnedTool) -> str:
    """The digest of what would be accepted."""
    return digest_of(tool.seen or tool.definition)


def _as_text(definition: dict[str, Any]) -> list[str]:
    parts = [definition["description"]]
    parts += [
        f"{title}: {json.dumps(definition[key], indent=2, sort_keys=True, ensure_ascii=False)}"
        for title, key in (("Arguments", "parameters"), ("Hints of its source", "hints"))
    ]
    return [line for part in parts for line in part.split("\n")]


def _back_to(source: ToolSource) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:agents_toolsource_change", args=[source.pk]))


def _source(object_id: str | None) -> ToolSource | None:
    try:
        return ToolSource.objects.filter(pk=UUID(object_id or "")).first()
    except ValueError:
        return None
