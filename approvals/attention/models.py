"""Rows about the people around a request. None of them changes what may run, or who may decide it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

OPERATOR, ADMIN = "operator", "admin"  # as in approvals.access, which needs the models first


class Care(models.Model):
    """Who has taken a request up, and how far its escalation has come. Made when there is something to say."""

    approval = models.OneToOneField(
        "approvals.Approval", primary_key=True, on_delete=models.CASCADE, related_name="care"
    )
    holder = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="held_requests"
    )
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who gave it to the holder; none: taken.",
    )
    stands_in_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who is away, so that the holder has it.",
    )
    since = models.DateTimeField(null=True)
    step = models.PositiveSmallIntegerField(default=0, help_text="The last step of the chain that was taken.")
    warned_at = models.DateTimeField(null=True, help_text="When people were told that it expires soon.")

    class Meta:
        verbose_name_plural = "care"

    def __str__(self) -> str:
        return f"{self.approval_id} held by {self.holder_id or 'nobody'}"


class Comment(models.Model):
    """What one person says to the others about a request. No agent reads it."""

    approval = models.ForeignKey("approvals.Approval", on_delete=models.CASCADE, related_name="comments")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id} on {self.approval_id}"


class Watch(models.Model):
    """Who wants to be told what becomes of a request."""

    approval = models.ForeignKey("approvals.Approval", on_delete=models.CASCADE, related_name="watches")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")

    class Meta:
        verbose_name_plural = "watches"
        constraints = [models.UniqueConstraint(fields=["approval", "user"], name="watch_once")]

    def __str__(self) -> str:
        return f"{self.user_id} watches {self.approval_id}"


class DutyHours(models.Model):
    """When a person is on duty; who has none of these always is. `ends` before `begins`: over midnight."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="duty_hours")
    weekdays = models.JSONField(default=list, help_text="On which it begins: 0 is Monday.")
    begins = models.TimeField()
    ends = models.TimeField()
    time_zone = models.CharField(max_length=64, default="UTC")

    class Meta:
        verbose_name_plural = "duty hours"
        constraints = [models.CheckConstraint(condition=~Q(begins=F("ends")), name="duty_has_a_length")]

    def __str__(self) -> str:
        return f"{self.begins:%H:%M} to {self.ends:%H:%M} {self.time_zone}"


class Delegation(models.Model):
    """Who stands in for a person who is away: requests given to the one go to the other, in that one's own name."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="delegations")
    to = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(user=F("to")), name="delegation_to_another"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("begins_at")), name="delegation_has_a_length"),
        ]

    def __str__(self) -> str:
        return f"{self.to_id} for {self.user_id}"


class Unless(models.TextChoices):
    """What keeps a step of the chain from being taken."""

    OPENED = "opened", "nobody has opened it"
    DECIDED = "decided", "nobody has decided it"


class EscalationStep(models.Model):
    """Whom a request goes to when nobody answers; the steps are those of the whole installation, in their order."""

    position = models.PositiveSmallIntegerField(unique=True, help_text="1 is the first.")
    minutes = models.PositiveIntegerField(help_text="After so many minutes since it was asked…")
    unless = models.CharField(
        "and as long as", max_length=8, choices=Unless, default=Unless.DECIDED, help_text="…while that holds…"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="…this person is told, and has it.",
    )
    role = models.CharField(
        max_length=16,
        blank=True,
        choices=[(OPERATOR, OPERATOR), (ADMIN, ADMIN)],
        help_text="Or all of this role who are on duty are told.",
    )

    class Meta:
        ordering = ("position",)
        constraints = [
            models.CheckConstraint(condition=Q(position__gte=1), name="escalation_from_one"),
            models.CheckConstraint(
                condition=Q(user__isnull=False, role="") | (Q(user__isnull=True) & ~Q(role="")),
                name="escalation_to_person_or_role",
                violation_error_message="Name a person or a role, and not both.",
            ),
        ]

    def __str__(self) -> str:
        return f"step {self.position}, after {self.minutes} min"
