"""Conversations: several messages of one person that belong together."""

from django.db import models
from django.db.models import Q

from agents.models.agent import Agent
from traces.ids import new_id


class Conversation(models.Model):
    """A session of one agent under a key that the caller chose. Each message of it is a run, in order.

    It closes when nobody has said anything for a while; a later message under the same key opens another, which
    starts from the summary of the one before.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="conversations")
    key = models.CharField(max_length=200)
    subject_digest = models.CharField(max_length=64, help_text="Of whom it is: another can't go on with it.")
    previous = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    messages = models.PositiveIntegerField(default=0)
    summary = models.TextField(blank=True, help_text="What was said and done, once it is closed.")
    opened_at = models.DateTimeField()
    last_at = models.DateTimeField(help_text="When its last message came or was answered.")
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "key"], name="conversation_open", condition=Q(closed_at__isnull=True)
            ),
        ]
        indexes = [
            models.Index(fields=["last_at"], name="conversation_idle", condition=Q(closed_at__isnull=True)),
            models.Index(fields=["agent", "key", "-opened_at"], name="conversation_key"),
            models.Index(
                fields=["subject_digest"], name="conversation_subject", condition=Q(closed_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"conversation {self.key}"


class Message(models.Model):
    """Something said to a run while it goes on; taken in at its next turn."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey("Run", on_delete=models.CASCADE, related_name="said")
    text = models.TextField()
    trusted = models.BooleanField(default=False, help_text="A person of the team wrote it.")
    said_by = models.CharField(max_length=160, help_text="As the actor of an event.")
    said_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("said_at", "id")
        indexes = [
            models.Index(fields=["run"], name="message_untaken", condition=Q(taken_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"message to {self.run_id}"
