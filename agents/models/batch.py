"""Batches: one task over a table."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from agents.models.agent import Agent
from agents.models.run import Run
from traces.ids import new_id


class BatchStatus(models.TextChoices):
    """Where a batch stands."""

    RUNNING = "running"  # its rows are started as places become free
    PAUSED = "paused"  # no further row is started
    CANCELLED = "cancelled"  # a person ended it
    COMPLETED = "completed"  # each row's run is over


class RowState(models.TextChoices):
    """Where a row stands."""

    WAITING = "waiting"
    STARTED = "started"  # it has its run
    ENDED = "ended"  # its run is over, and what it cost is counted
    FAILED = "failed"  # it could not be started


class Batch(models.Model):
    """One task over the rows of a table, few at a time; each row is a run of the version that is live then."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="batches")
    name = models.CharField(max_length=200, blank=True, help_text="Of the table, for people.")
    task = models.TextField(blank=True, help_text="With {column} for what differs.")
    status = models.CharField(max_length=16, choices=BatchStatus, default=BatchStatus.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it stands where it stands, in words.")
    columns = models.JSONField(help_text="Of the table, in order.")
    size = models.IntegerField(help_text="Rows.")
    concurrency = models.SmallIntegerField(help_text="Runs that may be open at a time.")
    budget_usd = models.DecimalField(max_digits=14, decimal_places=6, null=True)
    spent_usd = models.DecimalField(max_digits=18, decimal_places=8, default=0, help_text="By ended runs.")
    trusted = models.BooleanField(default=False, help_text="The team wrote the table itself.")
    actor = models.CharField(max_length=160, help_text="Who made it, as in events.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "batches"
        ordering = ("-created_at",)
        indexes = [models.Index(fields=["-created_at", "-id"], name="batch_newest")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=BatchStatus.values), name="batch_status"),
        ]

    def __str__(self) -> str:
        return self.name or f"batch {self.pk}"


class BatchRow(models.Model):
    """One row, from its place in the table to its run."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="rows", db_index=False)
    line = models.IntegerField(help_text="Where it begins in the file, from 1.")
    data = models.JSONField(help_text="Value by column.")
    input = models.TextField(help_text="The task, as its run is given it.")
    subject = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=RowState, default=RowState.WAITING)
    error = models.TextField(blank=True, help_text="Why it was not started.")
    run = models.OneToOneField(Run, null=True, on_delete=models.SET_NULL, related_name="batch_row")

    class Meta:
        ordering = ("batch", "line")
        constraints = [
            models.UniqueConstraint(fields=["batch", "line"], name="batch_line"),
            models.CheckConstraint(condition=Q(state__in=RowState.values), name="batch_row_state"),
        ]
        indexes = [
            models.Index(fields=["batch", "line"], name="batch_row_waiting", condition=Q(state="waiting")),
            models.Index(fields=["batch"], name="batch_row_started", condition=Q(state="started")),
        ]

    def __str__(self) -> str:
        return f"line {self.line} of {self.batch_id}"
