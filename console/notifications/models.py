"""By which channels people are told, and what they were told."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from traces.ids import new_id


class Topic(models.TextChoices):
    """What somebody may want to be told."""

    ASKED = "asked", "a request waits"
    ASKED_HIGH = "asked_high", "a request of high risk waits"
    ESCALATED = "escalated", "a request was escalated"
    EXPIRING = "expiring", "a request expires soon"
    EXPIRED = "expired", "a request expired"
    RECONCILE = "reconcile", "it is unknown whether a call happened"
    HALTED = "halted", "an emergency stop was pressed or lifted"
    DELIVERY_FAILED = "delivery_failed", "word could not be delivered"
    ASSIGNED = "assigned", "a request was given to you"
    MENTIONED = "mentioned", "somebody mentioned you"
    WATCHED = "watched", "something happened to a request that you watch"


PERSONAL = (Topic.ASSIGNED, Topic.MENTIONED, Topic.WATCHED)  # have no meaning for a team


def usual_topics() -> list[str]:
    """What a new channel tells, unless its owner chooses otherwise."""
    return [topic for topic in Topic.values if topic != Topic.ASKED]


class Way(models.TextChoices):
    """How a channel reaches people."""

    EMAIL = "email", "e-mail to the person's own address"
    ADDRESS = "address", "a notification address, as apprise writes it"
    PUSH = "push", "a browser of the person, by Web Push"


class Channel(models.Model):
    """Where a person, or the team, is told. The address is sealed: it holds tokens and passwords, and is shown to nobody."""

    name = models.CharField(max_length=80, help_text="What people call it, such as “Ana's phone”.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="channels",
        help_text="Whose it is; none: the team's.",
    )
    way = models.CharField(max_length=8, choices=Way, default=Way.ADDRESS)
    sealed = models.BinaryField(default=bytes, help_text="The address, encrypted.")
    scheme = models.CharField(max_length=16, blank=True, help_text="How the address begins.")
    topics = models.JSONField(default=usual_topics)
    with_title = models.BooleanField("name the action", default=False)
    burst = models.PositiveSmallIntegerField("messages a minute", default=5)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    paused = models.BooleanField(default=False)
    busy_until = models.DateTimeField(null=True, help_text="While a worker sends to it.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name", "pk")
        constraints = [
            models.CheckConstraint(condition=Q(way__in=Way.values), name="channel_way"),
            models.CheckConstraint(
                condition=Q(way=Way.ADDRESS) | Q(user__isnull=False), name="channel_email_of_person"
            ),
            models.CheckConstraint(
                condition=Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="channel_quiet_from_and_until",
                violation_error_message="Quiet hours need a beginning and an end.",
            ),
            models.CheckConstraint(condition=Q(burst__gte=1), name="channel_burst"),
        ]

    def __str__(self) -> str:
        return self.name


class PushKey(models.Model):
    """The one key by which push services know this installation (VAPID). Only `console.notifications.push` reads it."""

    sealed = models.BinaryField(help_text="The private part, encrypted.")
    public = models.CharField(max_length=100, help_text="What browsers subscribe with.")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.public


class NoticeStatus(models.TextChoices):
    """How far a notice has come."""

    WAITING = "waiting"
    TOLD = "told"
    FAILED = "failed"  # given up
    DROPPED = "dropped"  # by then there was nothing to tell any more


class Notice(models.Model):
    """That one event is to be told by one channel, and was. Those of one digest have the same `message`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="notices")
    event_id = models.BigIntegerField(null=True, help_text="Of the event; none: a test.")
    topic = models.CharField(max_length=16, blank=True)
    object_id = models.CharField(max_length=64, blank=True, help_text="What it is about, mostly a request.")
    stands_in_for = models.CharField(max_length=150, blank=True, help_text="Who is away.")
    status = models.CharField(max_length=8, choices=NoticeStatus, default=NoticeStatus.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True)
    sent_at = models.DateTimeField(null=True)
    message = models.UUIDField(null=True)
    error = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], name="notice_due", condition=Q(status=NoticeStatus.WAITING)),
            models.Index(fields=["channel", "-created_at"], name="notice_of_channel"),
            models.Index(fields=["object_id"], name="notice_object"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["channel", "event_id"], name="notice_once_per_event"),
            models.CheckConstraint(
                condition=Q(status=NoticeStatus.WAITING, next_at__isnull=False)
                | (~Q(status=NoticeStatus.WAITING) & Q(next_at__isnull=True)),
                name="notice_next_while_it_waits",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.object_id}"

    @property
    def is_of_request(self) -> bool:
        """Whether it leads to a request."""
        return self.topic not in ("", Topic.HALTED, Topic.DELIVERY_FAILED)


class ReadUntil(models.Model):
    """The one row that says up to which event people were told. What it names has settled: none before it can still come."""

    event_id = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "read until"

    def __str__(self) -> str:
        return str(self.event_id)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.pk = 1
        super().save(*args, **kwargs)


class Profile(models.Model):
    """How a person wants the console to behave."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="profile"
    )
    single_keys = models.BooleanField(default=True)
    sound = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"profile of {self.user_id}"
