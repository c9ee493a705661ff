"""Tool calls."""

from django.db import models
from django.db.models import Q

from agents.models.run import Run
from agents.models.soundness import sound
from agents.models.step import Step
from agents.states import CallStatus
from approvals.models import Approval
from traces.ids import new_id


class ToolCall(models.Model):
    """One call that a model proposed, from proposal to result. Its id is its idempotency key."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tool_calls")
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="tool_calls", db_index=False)
    index = models.SmallIntegerField(help_text="Its place among the calls of its step.")
    provider_call_id = models.CharField(max_length=128)
    tool = models.CharField(max_length=128)
    effect = models.CharField(max_length=16, blank=True)
    proposed_arguments = models.JSONField(help_text="As the model wrote them.")
    arguments = models.JSONField(help_text="As they run: a person may have edited them.")
    status = models.CharField(max_length=20, choices=CallStatus, default=CallStatus.PROPOSED)
    digest = models.CharField(max_length=64, blank=True)
    rule = models.TextField(blank=True, help_text="The rule that judged it, and why.")
    tainted = models.BooleanField(default=False)
    approval = models.ForeignKey(
        Approval, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    claim_fence = models.BigIntegerField(null=True, help_text="The run's fence when it was claimed.")
    attempts = models.SmallIntegerField(default=0)
    result = models.JSONField(null=True, help_text="What the agent is told: type, and data or message.")
    error = models.TextField(blank=True)
    span_id = models.CharField(max_length=16, blank=True)
    retry_at = models.DateTimeField(null=True, help_text="When it may be tried again.")
    cache_key = models.CharField(max_length=64, blank=True, help_text="What it looked up; for reads only.")
    fetched_at = models.DateTimeField(null=True, help_text="How old the data is that it returned.")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("step", "index")
        constraints = [
            models.UniqueConstraint(fields=["step", "index"], name="call_index"),
            sound("call_is_sound", "status", "claim_fence", "started_at", "digest", "rule", "approval"),
        ]
        indexes = [
            models.Index(fields=["tool", "-created_at"], name="call_tool"),
            models.Index(fields=["approval"], name="call_approval", condition=Q(approval__isnull=False)),
            models.Index(
                fields=["cache_key", "-fetched_at"],
                name="call_lookup",
                condition=~Q(cache_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.pk}"

    @property
    def may_have_happened(self) -> bool:
        """Whether it was tried, with no word of what came of it."""
        return self.attempts > 0 and self.effect != "read" and self.result is None

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt."""
        return str(self.pk)
