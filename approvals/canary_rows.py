"""Rows of planted tests. That none of them can run is kept by triggers of the database: see migrations."""

import math

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

LONGEST_DAYS = 365


class CanaryResult(models.TextChoices):
    """What became of a planted test."""

    WAITING = "waiting"
    CAUGHT = "caught"  # rejected or escalated
    CHANGED = "changed"  # approved in another wording
    MISSED = "missed"  # approved as it was
    EXPIRED = "expired"  # nobody looked in time


class CanaryPlan(models.Model):
    """An obviously wrong request that is planted now and then, among the real ones, to see whether people look."""

    enabled = models.BooleanField(default=False, help_text="Off until you switch it on.")
    agent = models.CharField(max_length=64, help_text="As whose request it is shown.")
    tool = models.CharField(max_length=128, help_text="As the call of which tool.")
    effect = models.CharField(
        max_length=16,
        default="irreversible",
        choices=[(effect, effect) for effect in ("irreversible", "reversible", "read")],
    )
    title = models.TextField(help_text="In the words in which that tool describes its calls.")
    task = models.TextField(blank=True, help_text="What the agent is said to have been asked.")
    arguments = models.JSONField(default=dict, help_text="An object; something in it must be plainly wrong.")
    reason = models.TextField(blank=True, help_text="What the agent is said to have said.")
    wrong = models.TextField(help_text="What is wrong about it: told to who decided, right afterwards.")
    days = models.FloatField(default=7.0, help_text="On average one in so many days, at random times.")
    minutes = models.PositiveIntegerField(default=240, help_text="After which it expires, without any harm.")
    next_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        """Refuse what could not be planted."""
        if not isinstance(self.arguments, dict) or not self.arguments:
            raise ValidationError({"arguments": "Write an object with at least one argument."})
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
    wrong = models.TextField()
    nonce = models.CharField(max_length=64, help_text="Opens what was committed to when it was planted.")
    planted_at = models.DateTimeField()
    result = models.CharField(max_length=16, choices=CanaryResult, default=CanaryResult.WAITING)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "canaries"
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
        return f"canary {self.approval_id}"
