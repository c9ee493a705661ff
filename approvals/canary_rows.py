"""Rows of planted tests. That none of them can run is kept by triggers of the database: see migrations."""

import math

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

LONGEST_DAYS = 365
PREVIEWED = {"summary", "changes", "facts"}


class CanaryResult(models.TextChoices):
    """What became of a planted test."""

    WAITING = "waiting"
    CAUGHT = "caught"  # rejected or escalated
    CHANGED = "changed"  # approved in another wording
    MISSED = "missed"  # approved as it was
    EXPIRED = "expired"  # nobody looked in time


class CanaryPlan(models.Model):
    """An obviously wrong request that is planted now and then, among the real ones, to see whether people look."""

    enabled = models.BooleanField("switched on", default=False, help_text="Nothing is planted before.")
    agent = models.CharField(max_length=64, help_text="As whose request it is shown: the name of an agent.")
    tool = models.CharField(
        max_length=128, help_text="As a call of which of its tools: the name as cards show it."
    )
    effect = models.CharField(
        max_length=16,
        default="irreversible",
        choices=[(effect, effect) for effect in ("irreversible", "reversible", "read")],
    )
    title = models.TextField(
        help_text="The headline of its card, worded as those of real calls are: “Refund EUR 12.90 to Ann Lee”."
    )
    task = models.TextField(
        blank=True,
        help_text="What the agent was asked, as the card tells it. Empty: the task of a real request, the latest that waits.",
    )
    arguments = models.JSONField(
        default=dict,
        help_text='A JSON object, such as {"order_id": "O-1042", "amount": 12900}. Something in it must be plainly wrong.',
    )
    preview = models.JSONField(
        default=dict,
        blank=True,
        help_text='What the card tells that will change: {"summary": …, "changes": [{"field": …, "before": …, "after": …}], '
        '"facts": {…}}. {} for a tool whose cards tell nothing there.',
    )
    reason = models.TextField(blank=True, help_text="What the agent says of it on the card.")
    wrong = models.TextField(
        "what is wrong",
        help_text="In a sentence or two, for whoever decided: they read it right afterwards, and not before.",
    )
    days = models.FloatField(
        "every … days", default=7.0, help_text="On average, at random times, from 0.01 to 365."
    )
    minutes = models.PositiveIntegerField(
        "expires after … minutes", default=240, help_text="Choose what real requests of this tool have."
    )
    next_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "planted test"

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        """Refuse what could not be planted."""
        if not isinstance(self.arguments, dict) or not self.arguments:
            raise ValidationError({"arguments": "Write an object with at least one argument."})
        self.preview = {} if self.preview is None else self.preview
        unknown = {*self.preview} - PREVIEWED if isinstance(self.preview, dict) else {"no object"}
        if unknown:
            raise ValidationError(
                {
                    "preview": f"Write an object of {', '.join(sorted(PREVIEWED))}; not {', '.join(sorted(unknown))}."
                }
            )
        if not (math.isfinite(self.days) and 0.01 <= self.days <= LONGEST_DAYS):
            raise ValidationError({"days": f"Choose from 0.01 to {LONGEST_DAYS} days."})
        if not self.minutes:
            raise ValidationError({"minutes": "Give people a minute at least."})


class Canary(models.Model):
    """A request that was planted. It has neither run nor call nor requester, so that nothing can come of it."""

    approval = models.OneToOneField(
        "approvals.Approval", on_delete=models.PROTECT, primary_key=True, related_name="canary"
    )
    plan = models.ForeignKey(CanaryPlan, null=True, on_delete=models.SET_NULL, related_name="planted")
    like = models.ForeignKey(
        "approvals.Approval",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The real request whose run it is shown with while it waits, and whose masks it has.",
    )
    wrong = models.TextField()
    nonce = models.CharField(max_length=64, help_text="Opens what was committed to when it was planted.")
    planted_at = models.DateTimeField()
    result = models.CharField(max_length=16, choices=CanaryResult, default=CanaryResult.WAITING)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "planted request"
        indexes = [models.Index(fields=["-settled_at"], name="canary_settled")]
        constraints = [
            models.CheckConstraint(condition=Q(result__in=CanaryResult.values), name="canary_result"),
            models.CheckConstraint(
                condition=Q(result=CanaryResult.WAITING, settled_at__isnull=True)
                | (~Q(result=CanaryResult.WAITING) & Q(settled_at__isnull=False)),
                name="canary_settled_with_result",
            ),
        ]

    def __str__(self) -> str:
        return f"planted request {self.approval_id}"
