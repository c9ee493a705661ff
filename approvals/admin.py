"""What people were asked and said, for reading. Deciding is done in the inbox, which shows what is needed for it."""

from django.contrib import admin
from unfold.admin import TabularInline

from approvals.models import Approval, Decision, Halt, Revision, Vote
from traces.admin import History, ReadOnly


class RevisionInline(ReadOnly, TabularInline):
    """Every wording that there was."""

    model = Revision
    fields = ("number", "arguments", "edited_by", "created_at", "digest")
    extra = 0


class VoteInline(ReadOnly, TabularInline):
    """Who said what to which wording."""

    model = Vote
    fields = ("user", "approve", "revision", "cast_at")
    extra = 0


@admin.register(Approval)
class ApprovalAdmin(History):
    """Requests to people."""

    list_display = ("requested_at", "title", "status", "agent", "risk", "role", "expires_at")
    list_filter = ("status", "kind", "effect", "risk")
    search_fields = ("=id", "=run_id", "tool", "title")
    search_help_text = "An id, a tool, or words of the title"
    ordering = ("-requested_at",)
    inlines = (RevisionInline, VoteInline)


@admin.register(Decision)
class DecisionAdmin(History):
    """How requests ended by a person's word."""

    list_display = ("decided_at", "approval", "verdict", "user", "via")
    list_filter = ("verdict", "via")
    list_select_related = ("approval", "user")
    search_fields = ("=approval__id", "user__username")
    ordering = ("-decided_at",)


@admin.register(Halt)
class HaltAdmin(History):
    """Emergency stops; they are pressed and lifted in the console."""

    list_display = ("halted_at", "__str__", "reason", "halted_by", "lifted_at", "lifted_by")
    list_select_related = ("halted_by", "lifted_by")
    ordering = ("-halted_at",)
