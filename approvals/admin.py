"""What people were asked and said, for reading. Deciding is done in the inbox, which shows what is needed for it."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action

from approvals.access import Actor
from approvals.canaries_admin import CanaryPlanAdmin
from approvals.deliveries import resend
from approvals.models import (
    Approval,
    Decision,
    Delegation,
    Delivery,
    DeliveryStatus,
    DutyHours,
    EscalationStep,
    Halt,
    Revision,
    SecondFactor,
    Vote,
)
from approvals.stepup.factors import reset
from traces.admin import History, ReadOnly
from traces.recorder import record

__all__ = ["ApprovalAdmin", "CanaryPlanAdmin"]


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
    exclude = ("callback_url",)  # it may hold a secret of whoever is told there
    inlines = (RevisionInline, VoteInline)
    actions_detail = ("plan_test",)

    @action(description="Plan a planted test like this")  # type: ignore[untyped-decorator]
    def plan_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The form of a planted test, filled in with what this request says."""
        return redirect(f"{reverse('admin:approvals_canaryplan_add')}?like={object_id}")


@admin.register(Decision)
class DecisionAdmin(History):
    """How requests ended by a person's word."""

    list_display = ("decided_at", "approval", "verdict", "user", "via")
    list_filter = ("verdict", "via")
    list_select_related = ("approval", "user")
    search_fields = ("=approval__id", "user__username")
    ordering = ("-decided_at",)


@admin.register(Delivery)
class DeliveryAdmin(History):
    """Word to programs that asked; what was given up can be sent again."""

    list_display = (
        "created_at",
        "event",
        "approval",
        "status",
        "attempts",
        "answer_status",
        "error",
        "next_at",
    )
    list_filter = ("status", "event")
    list_select_related = ("approval",)
    search_fields = ("=id", "=approval__id")
    search_help_text = "The id of a delivery or of an approval"
    ordering = ("-created_at",)
    exclude = ("body",)
    actions = ("send_again",)

    @admin.action(description="Send again")
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Each that is not on its way already."""
        user = request.user
        assert isinstance(user, User)
        idle = queryset.exclude(status=DeliveryStatus.WAITING)
        for delivery in idle:
            resend(delivery.pk, actor=Actor(user), now=timezone.now())
        messages.success(request, f"{len(idle)} are sent again.")


@admin.register(Halt)
class HaltAdmin(History):
    """Emergency stops; they are pressed and lifted in the console."""

    list_display = ("halted_at", "__str__", "reason", "halted_by", "lifted_at", "lifted_by")
    list_select_related = ("halted_by", "lifted_by")
    ordering = ("-halted_at",)


@admin.register(EscalationStep)
class EscalationStepAdmin(ModelAdmin):
    """Whom a request goes to when nobody answers."""

    list_display = ("position", "minutes", "unless", "user", "role")
    list_select_related = ("user",)
    ordering = ("position",)

    def log_addition(self, request: HttpRequest, obj: EscalationStep, message: Any) -> Any:
        """Keep it in the audit log, too."""
        _record_step("escalation_step.added", request, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: EscalationStep, message: Any) -> Any:
        """Keep it in the audit log, too."""
        _record_step("escalation_step.changed", request, obj)
        return super().log_change(request, obj, message)

    def delete_model(self, request: HttpRequest, obj: EscalationStep) -> None:
        """Keep it in the audit log, too."""
        _record_step("escalation_step.deleted", request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[EscalationStep]) -> None:
        """Keep each in the audit log, too."""
        for step in queryset:
            self.delete_model(request, step)


@admin.register(DutyHours)
class DutyHoursAdmin(ReadOnly, ModelAdmin):
    """When people are on duty; each says so on their own page."""

    list_display = ("user", "weekdays", "begins", "ends", "time_zone")
    list_select_related = ("user",)


@admin.register(SecondFactor)
class SecondFactorAdmin(ReadOnly, ModelAdmin):
    """Who has one. Deleting it is for who lost theirs; nobody deletes their own here."""

    list_display = ("user", "confirmed_at", "failures", "blocked_until")
    list_select_related = ("user",)
    exclude = ("sealed", "last_step")
    actions = None  # one by one

    def has_delete_permission(self, request: HttpRequest, obj: SecondFactor | None = None) -> bool:
        """Of others."""
        return obj is None or obj.user_id != request.user.pk

    def delete_model(self, request: HttpRequest, obj: SecondFactor) -> None:
        """Keep it in the audit log, too."""
        user = request.user
        assert isinstance(user, User)
        reset(obj.user, actor=Actor(user), now=timezone.now())


@admin.register(Delegation)
class DelegationAdmin(History):
    """Who stands in for whom."""

    list_display = ("user", "to", "begins_at", "ends_at")
    list_select_related = ("user", "to")
    ordering = ("-begins_at",)


def _record_step(name: str, request: HttpRequest, step: EscalationStep) -> None:
    data = {
        "position": step.position,
        "minutes": step.minutes,
        "unless": step.unless,
        "user": step.user.get_username() if step.user else "",
        "role": step.role,
    }
    record(name, actor=f"user:{request.user.get_username()}", object_id=str(step.pk), data=data)
