"""What happened, for reading: events and spans can't be added, changed or deleted here."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, StackedInline

from traces.models import Event, Span, SpanBody


class ReadOnly:
    """What every admin of history has in common."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


class History(ReadOnly, ModelAdmin):
    """Rows to look at. The lists don't count them all: there may be millions."""

    show_full_result_count = False
    list_per_page = 50
    list_filter_submit = True


@admin.register(Event)
class EventAdmin(History):
    """The audit log."""

    list_display = ("at", "name", "actor", "object_id", "run_id")
    search_fields = ("=object_id", "name__startswith", "actor")
    search_help_text = "An id, the beginning of a name such as approval., or an actor such as user:ana"
    ordering = ("-id",)


class SpanBodyInline(ReadOnly, StackedInline):
    """Inputs and outputs."""

    model = SpanBody


@admin.register(Span)
class SpanAdmin(History):
    """Pieces of work."""

    list_display = ("started_at", "name", "agent", "status", "duration", "cost_usd", "trace_id")
    list_filter = ("operation", "status", "simulated")
    search_fields = ("=trace_id", "=id", "=tool", "=model")
    search_help_text = "The id of a trace or span, a tool, or a model"
    ordering = ("-started_at",)
    inlines = (SpanBodyInline,)

    @admin.display(description="Latency")
    def duration(self, span: Span) -> str:
        """In ms."""
        return "open" if span.duration_ms is None else f"{span.duration_ms:,.0f} ms"
