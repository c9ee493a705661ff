"""Memories for admins: to read, and to delete; what was remembered is never rewritten here."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from agents.memory import re_embedding
from agents.memory.keeping import forget
from agents.models import Memory
from approvals.access import Actor


@admin.register(Memory)
class MemoryAdmin(ModelAdmin):
    """What agents remember; each deletion is in the audit log."""

    list_display = ("created_at", "agent", "kind", "__str__", "tainted", "embedded_by", "expires_at")
    list_filter = ("agent__name", "kind", "tainted")
    list_select_related = ("agent",)
    search_fields = ("=id", "=run__id", "=subject_digest", "text")
    search_help_text = "An id, the id of a run, the digest of a subject, or words"
    ordering = ("-created_at",)
    exclude = ("embedding",)
    show_full_result_count = False
    list_per_page = 50
    actions = ("embed_again",)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody: memories come from runs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def delete_model(self, request: HttpRequest, obj: Memory) -> None:
        """Delete and record who did; the words go, the audit log keeps that they were."""
        user = request.user
        assert isinstance(user, User)
        forget(obj.pk, actor=Actor(user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Memory]) -> None:
        """Each on its own."""
        for memory in queryset.select_related("agent"):
            self.delete_model(request, memory)

    @admin.action(description="Embed all memories of these agents that have no vector of the present model")
    def embed_again(self, request: HttpRequest, queryset: QuerySet[Memory]) -> None:
        """In the background; the audit log shows how far it is."""
        names = sorted(set(queryset.values_list("agent__name", flat=True)))
        for name in names:
            re_embedding.wake(name)
        messages.success(
            request,
            f"Embedding memories of {', '.join(names)}; memory.re_embedded events tell how far it is.",
        )
