"""The team's channels, and how those of all do."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from console.notifications.models import Channel, Notice
from console.people.forms import TeamChannelForm
from traces.admin import ReadOnly
from traces.recorder import record


class NoticeInline(ReadOnly, TabularInline):
    """What was told by it lately."""

    model = Notice
    fields = ("created_at", "topic", "status", "attempts", "sent_at", "error")
    extra = 0
    ordering = ("-created_at",)
    per_page = 20


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):
    """Channels of the team. People's own are listed, and are theirs to change."""

    form = TeamChannelForm
    list_display = ("name", "whose", "scheme", "paused", "trouble")
    list_select_related = ("user",)
    inlines = (NoticeInline,)

    def has_change_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """The team's only."""
        return (obj is None or obj.user is None) and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        """Seal the address, and keep in the audit log that it was set."""
        form.save()
        self._record("channel.changed" if change else "channel.added", request, obj)

    def delete_model(self, request: HttpRequest, obj: Channel) -> None:
        """Keep it in the audit log, too."""
        self._record("channel.deleted", request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """Each by itself."""
        for channel in queryset:
            self.delete_model(request, channel)

    def _record(self, name: str, request: HttpRequest, channel: Channel) -> None:
        data = {"name": channel.name, "user": "", "way": channel.way, "scheme": channel.scheme}
        record(name, actor=f"user:{request.user.get_username()}", object_id=str(channel.pk), data=data)

    @admin.display(description="Whose")
    def whose(self, channel: Channel) -> str:
        """By name."""
        return channel.user.get_username() if channel.user else "the team"

    @admin.display(description="Trouble")
    def trouble(self, channel: Channel) -> str:
        """Why its latest notice did not get out."""
        latest = channel.notices.order_by("-created_at").first()
        return latest.error if latest and latest.error else "none"
