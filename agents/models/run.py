"""Runs."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import MD5, Cast

from agents.models.agent import AgentVersion
from agents.models.conversation import Conversation
from agents.models.soundness import sound
from agents.states import FINAL_RUN, RunStatus
from traces.ids import new_id, new_span_id


class Run(models.Model):
    """One task that an agent works on. Only the holder of its lease changes it, guarded by `fence`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(AgentVersion, on_delete=models.PROTECT, related_name="runs")
    status = models.CharField(max_length=20, choices=RunStatus, default=RunStatus.QUEUED)
    reason = models.TextField(blank=True, help_text="Why it stands where it stands, in words.")
    input = models.TextField()
    subject = models.JSONField(default=dict, help_text="On whose behalf: user, customer.")
    conversation = models.CharField(max_length=200, blank=True, help_text="The caller's key.")
    session = models.ForeignKey(
        Conversation, null=True, on_delete=models.PROTECT, related_name="runs", db_index=False
    )
    success = models.JSONField(null=True, help_text="JSON Schema of what the task must yield.")
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.CASCADE, related_name="children", db_index=False
    )
    part = models.SmallIntegerField(null=True, help_text="Which part of the parent's task it is.")
    depth = models.SmallIntegerField(default=0, help_text="Runs above it.")
    root_id = models.UUIDField(null=True, help_text="The topmost run above it, whose trace it shares.")
    budget = models.JSONField(null=True, help_text="Limits cut from the parent's, over the agent's own.")
    task_type = models.CharField(max_length=64, blank=True)
    metadata = models.JSONField(default=dict)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    simulated = models.BooleanField(default=False)
    rehearsal = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Nothing of it reaches the world; set when made, never changed.",
    )
    taint_sources = models.JSONField(default=list, help_text="What it read that outsiders wrote.")
    requested = models.CharField(
        max_length=8, blank=True, help_text="cancel, pause or steer, for the lease holder to do."
    )

    output = models.TextField(blank=True)
    summary = models.TextField(blank=True)
    confidence = models.FloatField(null=True)

    turns = models.IntegerField(default=0)
    input_tokens = models.IntegerField(default=0)
    output_tokens = models.IntegerField(default=0)
    cache_read_tokens = models.IntegerField(default=0)
    cache_write_tokens = models.IntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    work_ms = models.BigIntegerField(default=0, help_text="Time at work; waiting does not count.")
    attempts = models.SmallIntegerField(default=0, help_text="Claims since the last committed step.")

    root_span_id = models.CharField(max_length=16, default=new_span_id)
    fence = models.BigIntegerField(default=0, help_text="Counts the claims; a stale holder can't write.")
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True, help_text="When a waiting retry is due.")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    # Not stored: what the holder of the lease was told with its last write.
    halted = False  # an emergency stop stands
    spoken_to = False  # it was sent messages that it has not taken in
    live_version_id: int | None = None  # of the agent
    unwritten: Any = None  # what is to be written with what comes next, see `agents.runtime.journal`

    class Meta:
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="run_newest"),
            # Nothing that changes while a run stays where it is: its updates then touch no index.
            models.Index(fields=["created_at"], name="run_moving", condition=Q(ended_at__isnull=True)),
            models.Index(
                fields=["session", "created_at"], name="run_session", condition=Q(session__isnull=False)
            ),
            models.Index(
                MD5(Cast("subject", models.TextField())),
                "created_at",
                name="run_subject",
                condition=~Q(subject={}),
            ),
            models.Index(fields=["ended_at"], name="run_ended", condition=Q(ended_at__isnull=False)),
        ]
        constraints = [
            sound("run_is_sound", "status", "requested", "ended_at", "lease_until", "wake_at"),
            models.UniqueConstraint(
                fields=["parent", "part"], name="run_part", condition=Q(parent__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"

    @property
    def trace_id(self) -> str:
        """32 hex digits: the id of the topmost run, so that one leads to the other."""
        return (self.root_id or self.pk).hex

    @property
    def span_marks(self) -> dict[str, bool]:
        """Attributes of its root span that tell it from the trace of a run which was in earnest."""
        return {"gatehouse.rehearsal": True} if self.rehearsal else {}

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_RUN

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens
