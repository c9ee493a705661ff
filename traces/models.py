"""What happened: spans of work, and events of change. Knows runs and approvals by id only."""

from typing import Any

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils import timezone

from traces.ids import new_span_id

# What is left without what runs do by themselves.
AUDITED = ~(
    Q(name__startswith="run.")
    | Q(name__startswith="step.")
    | Q(name__startswith="tool_call.")
    | Q(name__startswith="message.")
    | Q(name__startswith="memory.")
    | Q(name__startswith="conversation.")
)


class Event(models.Model):
    """One thing that changed: audit log, outbox and live feed in one.

    Rows are only ever added: a trigger in the database refuses to change or delete one, and `traces.audit` proves
    that none was. `name` is noun.past_tense. `object_id` is what changed, `run_id` the run it belongs to, where there
    is one.
    """

    name = models.CharField(max_length=64)
    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=160, help_text="user:NAME, token:NAME, agent:NAME or system")
    object_id = models.CharField(max_length=64, blank=True)
    run_id = models.UUIDField(null=True)
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["run_id", "id"], name="event_run", condition=Q(run_id__isnull=False)),
            # Those of a run are found by the run.
            models.Index(fields=["object_id", "id"], name="event_object", condition=Q(run_id__isnull=True)),
            # What people do is rare beside what runs do, and is what the audit page asks for.
            models.Index(fields=["id"], name="event_audited", condition=AUDITED),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.object_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError(f"Event {self.pk} is history: events are only added, never changed.")
        super().save(*args, **kwargs)


class AuditKey(models.Model):
    """An Ed25519 key that signs seals; the newest one does."""

    public = models.CharField(max_length=64, unique=True, help_text="In hex; auditors note it.")
    sealed = models.BinaryField(help_text="The private part, encrypted: see traces.sealing.")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.public


class Seal(models.Model):
    """A batch of events, and all that was sealed before, under one signed hash. Rows are only ever added.

    It covers all events after the last one of the seal before, up to its own `last_event`.
    """

    number = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 ... without a gap.")
    first_event = models.BigIntegerField()
    last_event = models.BigIntegerField()
    count = models.IntegerField()
    previous = models.CharField(max_length=64, unique=True, help_text="The digest of the seal before.")
    leaves = models.BinaryField(
        help_text="The SHA-256 of each event, 32 bytes each: they say which one is damaged."
    )
    root = models.CharField(max_length=64, help_text="Of the tree that the leaves make.")
    key = models.CharField(max_length=64, help_text="The public key by which it is signed.")
    sealed_at = models.DateTimeField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of all this but the leaves.")
    signature = models.CharField(max_length=128)

    class Meta:
        indexes = [models.Index(fields=["last_event"], name="seal_last_event")]

    def __str__(self) -> str:
        return f"seal {self.number}"

    @property
    def checkpoint(self) -> str:
        """What an auditor notes, to see later that nothing up to here was rewritten or cut off."""
        return f"{self.number}:{self.digest}"


class SpanStatus(models.TextChoices):
    """OpenTelemetry's status of a span."""

    UNSET = "unset"  # still open
    OK = "ok"
    ERROR = "error"


class Span(models.Model):
    """A piece of work, shaped as OpenTelemetry's span; a typed column for every filter.

    `operation` is `gen_ai.operation.name`. Tokens are in disjoint buckets, on model spans only: a sum over a
    trace counts each token once. `cost_usd` likewise.
    """

    id = models.CharField(primary_key=True, max_length=16, default=new_span_id)
    trace_id = models.CharField(max_length=32)
    parent_id = models.CharField(max_length=16, blank=True)
    name = models.CharField(max_length=200)
    operation = models.CharField(max_length=32)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=8, choices=SpanStatus, default=SpanStatus.UNSET)
    error_type = models.CharField(max_length=64, blank=True)
    run_id = models.UUIDField(null=True)
    agent = models.CharField(max_length=64, blank=True)
    agent_version = models.IntegerField(null=True)
    provider = models.CharField(max_length=32, blank=True)
    model = models.CharField(max_length=128, blank=True)
    tool = models.CharField(max_length=128, blank=True)
    input_tokens = models.IntegerField(null=True)
    cache_read_tokens = models.IntegerField(null=True)
    cache_write_tokens = models.IntegerField(null=True)
    output_tokens = models.IntegerField(null=True)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, null=True)
    simulated = models.BooleanField(default=False)
    preview = models.CharField(max_length=300, blank=True)
    attributes = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["trace_id", "started_at"], name="span_trace"),
            models.Index(fields=["-started_at"], name="span_newest", condition=Q(parent_id="")),
            BrinIndex(fields=["started_at"], name="span_time"),  # rows come in this order
            BrinIndex(fields=["ended_at"], name="span_end"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=SpanStatus.values), name="span_status"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def duration_ms(self) -> float | None:
        """Latency in ms; None while it is open."""
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000


class SpanBody(models.Model):
    """Inputs and outputs of a span, apart from it so that lists stay quick; read when a person expands it."""

    # Written by the same statement as its span, which needs no check by the database.
    span = models.OneToOneField(
        Span, primary_key=True, on_delete=models.CASCADE, related_name="body", db_constraint=False
    )
    input = models.JSONField(null=True)
    output = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"body of {self.span_id}"


class ForeignTrace(models.Model):
    """A trace that another program sent: it belongs to the user whose token sent its first span, and to no run."""

    trace_id = models.CharField(primary_key=True, max_length=32)
    sender_id = models.IntegerField(help_text="The user; who that is, floors above know.")
    at = models.DateTimeField(help_text="When the first span arrived.")

    class Meta:
        indexes = [models.Index(fields=["sender_id"], name="foreign_trace_sender")]

    def __str__(self) -> str:
        return self.trace_id


class Export(models.Model):
    """How far our spans went out by OTLP. There is one row, once anything is exported.

    All spans that ended before `position` went out; of those that ended later, the ones that `ExportedSpan` names.
    """

    position = models.DateTimeField()
    taken_until = models.DateTimeField(help_text="Until when a worker may be sending.")
    failures = models.IntegerField(default=0, help_text="In a row.")
    retry_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, help_text="Of the last attempt, where it failed.")
    batch = models.IntegerField(
        default=500, help_text="Spans that the next request may hold: fewer after a refusal."
    )
    refused = models.IntegerField(default=0, help_text="Spans that the receiver refused for good.")
    refusal = models.TextField(blank=True, help_text="The last of these, and why.")

    def __str__(self) -> str:
        return f"export up to {self.position}"


class ExportedSpan(models.Model):
    """A span that went out and ended after the position of the export."""

    span_id = models.CharField(primary_key=True, max_length=16)
    ended_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.span_id


class Breaker(models.Model):
    """A brake on the whole system that a figure tripped; it stands until it is lifted.

    `name` is `escalation` (fewer runs at a time) or `cost` (no new runs).
    """

    name = models.CharField(max_length=32)
    reason = models.TextField(help_text="The figure, and the limit that it broke.")
    figure = models.FloatField()
    limit = models.FloatField()
    tripped_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.CharField(max_length=160, blank=True, help_text="As the actor of an event.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], name="breaker_standing", condition=Q(lifted_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name
