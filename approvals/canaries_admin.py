"""The form of planted tests: what people are to see, and what they are told afterwards."""

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from approvals.models import Approval, CanaryPlan
from traces.recorder import record

if TYPE_CHECKING:
    _PlanForm = forms.ModelForm[CanaryPlan]
else:
    _PlanForm = forms.ModelForm

_TAKEN = ("agent", "tool", "effect", "title", "arguments", "preview", "reason")  # from a real request
_ROWS = {"task": 3, "arguments": 6, "preview": 8, "reason": 2, "wrong": 2}


class _Written(forms.JSONField):
    """A document, written as people read it."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str) or not value:
            return super().prepare_value(value)
        return json.dumps(value, indent=2, ensure_ascii=False)


class CanaryPlanForm(_PlanForm):
    """All of a plan, in fields as large as what they hold."""

    class Meta:
        model = CanaryPlan
        exclude = ()
        field_classes = {"arguments": _Written, "preview": _Written}
        widgets = {"title": UnfoldAdminTextInputWidget()} | {
            name: UnfoldAdminTextareaWidget({"rows": rows}) for name, rows in _ROWS.items()
        }


@admin.register(CanaryPlan)
class CanaryPlanAdmin(ModelAdmin):
    """Obviously wrong requests that are planted to see whether people look; nothing of them can run."""

    form = CanaryPlanForm
    list_display = ("title", "agent", "tool", "enabled", "days", "minutes")
    list_filter = ("enabled",)
    fieldsets = (
        (
            None,
            {
                "fields": ("enabled", "days"),
                "description": "A request that is plainly wrong, put among the real ones to see whether people "
                "look. There is no call behind it: nothing runs, whatever they decide. The easiest way to write "
                "one: open a real request under Approvals, choose “Plan a planted test like this”, and make "
                "something in it plainly wrong.",
            },
        ),
        (
            "What the card shows",
            {
                "fields": (
                    "agent",
                    "tool",
                    "effect",
                    "title",
                    "arguments",
                    "preview",
                    "task",
                    "reason",
                    "minutes",
                )
            },
        ),
        ("What is told afterwards", {"fields": ("wrong",)}),
    )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """With `?like=ID`, what that request says."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        try:
            like = Approval.objects.filter(pk=UUID(initial.pop("like", ""))).first()
        except ValueError:
            like = None
        if like is None:
            return initial
        seconds = (like.expires_at - like.requested_at).total_seconds()
        taken = {name: getattr(like, name) for name in _TAKEN}
        return (
            initial | taken | {"task": like.context.get("task", ""), "minutes": max(round(seconds / 60), 1)}
        )

    def log_addition(self, request: HttpRequest, obj: CanaryPlan, message: Any) -> Any:
        """Keep it in the audit log, too."""
        _record("canary_plan.added", request, obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: CanaryPlan, message: Any) -> Any:
        """Keep it in the audit log, too."""
        _record("canary_plan.changed", request, obj)
        return super().log_change(request, obj, message)

    def delete_model(self, request: HttpRequest, obj: CanaryPlan) -> None:
        """Keep it in the audit log, too."""
        _record("canary_plan.deleted", request, obj)
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CanaryPlan]) -> None:
        """Keep each in the audit log, too."""
        for plan in queryset:
            self.delete_model(request, plan)


def _record(name: str, request: HttpRequest, plan: CanaryPlan) -> None:
    """What it will look like is left out: whoever reads the log would know it again."""
    data = {"tool": plan.tool, "agent": plan.agent, "enabled": plan.enabled, "days": plan.days}
    record(name, actor=f"user:{request.user.get_username()}", object_id=str(plan.pk), data=data)
