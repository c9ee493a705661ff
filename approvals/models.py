"""The gate's rows: what was asked, how it was put, who said what, and what holds now."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, IntegerField, Q, Value, When

from approvals.attention.models import (
    Care,
    Comment,
    Delegation,
    DutyHours,
    EscalationStep,
    Watch,
)
from approvals.canary_rows import Canary, CanaryPlan, CanaryResult
from approvals.grant_rows import Grant, GrantConfirmation, GrantUse
from approvals.states import ApprovalStatus
from approvals.stepup.models import RecoveryCode, SecondFactor
from traces.ids import new_id

__all__ = [
    "Approval",
    "Canary",
    "CanaryPlan",
    "CanaryResult",
    "Care",
    "Comment",
    "Decision",
    "Delegation",
    "Delivery",
    "DeliveryStatus",
    "DutyHours",
    "EscalationStep",
    "Grant",
    "GrantConfirmation",
    "GrantUse",
    "Halt",
    "Hold",
    "Kind",
    "RecoveryCode",
    "Revision",
    "SecondFactor",
    "Terms",
    "Vote",
    "Watch",
]


class Kind(models.TextChoices):
    """What a person is asked for."""

    ACTION = "action"  # may this call run?
    QUESTION = "question"  # what is the answer?
    RECONCILE = "reconcile"  # did this call, whose outcome is unknown, happen?


RISKS = ("high", "medium", "low")
PROGRAM = (
    "program:"  # before the name of another program, where an agent can be named; no agent has such a name
)
# What depends most on the decision comes first; whatever isn't known to be less counts as high.
BY_RISK = Case(
    *(When(risk=risk, then=Value(place)) for place, risk in enumerate(RISKS)),
    default=Value(0),
    output_field=IntegerField(),
)


class Approval(models.Model):
    """A request to a person. It carries all that is needed to decide, as it stood when it was asked.

    What may run is the latest revision, and its digest. `run_id` and `call_id` are ids of rows upstairs, which the
    gate does not know; a request of another program has neither.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.ACTION)
    status = models.CharField(max_length=16, choices=ApprovalStatus, default=ApprovalStatus.PENDING)

    title = models.TextField(help_text="The action in words, made by the tool's code.")
    tool = models.CharField(max_length=128)
    tool_digest = models.CharField(max_length=64, blank=True)
    parameters = models.JSONField(default=dict, help_text="JSON Schema of the arguments, or of the answer.")
    effect = models.CharField(max_length=16, blank=True)
    risk = models.CharField(max_length=8, default="high")  # low, medium, high
    tainted = models.BooleanField(default=False)
    taint_sources = models.JSONField(default=list)
    rule = models.TextField(blank=True, help_text="The rule that asked, in words, as it stood.")
    policy_digest = models.CharField(max_length=64, blank=True)
    reason = models.TextField(blank=True, help_text="What the agent says: untrusted.")
    context = models.JSONField(default=dict, help_text="Evidence for the person who decides.")
    preview = models.JSONField(default=dict)

    agent = models.CharField(max_length=64, blank=True)
    agent_version = models.IntegerField(null=True)
    run_id = models.UUIDField(null=True)
    call_id = models.UUIDField(null=True)
    subject = models.JSONField(default=dict)
    simulated = models.BooleanField(default=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="requested_approvals"
    )
    role = models.CharField(max_length=16, default="operator")
    approvers = models.PositiveSmallIntegerField(default=1)

    callback_url = models.TextField(
        blank=True, default="", db_default="", help_text="Who is told there what becomes of it."
    )

    revision = models.PositiveIntegerField(default=1)
    digest = models.CharField(max_length=64)
    arguments = models.JSONField(default=dict)

    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["expires_at"], name="approval_pending", condition=Q(status=ApprovalStatus.PENDING)
            ),
            models.Index(fields=["run_id"], name="approval_run", condition=Q(run_id__isnull=False)),
            models.Index(fields=["-requested_at", "-id"], name="approval_newest"),
            models.Index(
                BY_RISK,
                "expires_at",
                "requested_at",
                name="approval_queue",
                condition=Q(status=ApprovalStatus.PENDING),
            ),
            models.Index(
                fields=["digest"], name="approval_denied", condition=Q(status=ApprovalStatus.DENIED)
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=ApprovalStatus.values), name="approval_status"),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="approval_kind"),
            models.CheckConstraint(
                condition=Q(status=ApprovalStatus.PENDING, resolved_at__isnull=True)
                | (~Q(status=ApprovalStatus.PENDING) & Q(resolved_at__isnull=False)),
                name="approval_resolved_once_settled",
            ),
            models.UniqueConstraint(
                fields=["call_id"],
                condition=Q(status=ApprovalStatus.PENDING),
                name="approval_one_pending_per_call",
            ),
            models.CheckConstraint(condition=Q(approvers__gte=1), name="approval_needs_someone"),
        ]

    def __str__(self) -> str:
        return self.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(
                f"Approval {self.pk}: change it through approvals.deciding or approvals.settling, which lock and record."
            )
        super().save(*args, **kwargs)


class Terms(models.Model):
    """What else the rule asks for, and who could answer, as it stood when the request was made."""

    approval = models.OneToOneField(
        Approval, on_delete=models.CASCADE, primary_key=True, related_name="terms"
    )
    roles = models.JSONField(default=list, help_text="One different person for each, among the approvers.")
    denials = models.PositiveSmallIntegerField(default=1, help_text="People who must say no.")
    hold = models.PositiveIntegerField(default=0, help_text="Seconds in which the approval can be recalled.")
    stakes = models.JSONField(default=list, help_text="Who can't be the only approver: user, name, why.")
    could_approve = models.JSONField(default=list, help_text="Names of those who could, when it was asked.")
    lacking = models.TextField(blank=True, help_text="Why nobody could have, when it was asked.")
    fingerprint = models.JSONField(null=True, help_text="What it rested on when it was asked.")
    step_up = models.BooleanField(
        default=False, db_default=False, help_text="Whether who approves gives a second factor."
    )

    class Meta:
        verbose_name_plural = "terms"

    def __str__(self) -> str:
        return f"terms of {self.approval_id}"


class Hold(models.Model):
    """An approval that people gave and that can still be recalled; until it ends, the request is pending."""

    approval = models.OneToOneField(Approval, on_delete=models.CASCADE, related_name="hold")
    until = models.DateTimeField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    via = models.CharField(max_length=16)
    verdict = models.CharField(max_length=16)
    reason = models.TextField(blank=True)
    alone = models.TextField(blank=True, help_text="Why this counts as approved alone, if it does.")
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["until"], name="hold_due", condition=Q(ended_at__isnull=True))]

    def __str__(self) -> str:
        return f"hold of {self.approval_id}"


class Revision(models.Model):
    """One wording of the arguments; the first is the agent's, each later one a person's."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    arguments = models.JSONField()
    digest = models.CharField(max_length=64)
    edited_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval", "number"], name="revision_number")]

    def __str__(self) -> str:
        return f"{self.approval_id} revision {self.number}"


class Vote(models.Model):
    """What one person said to one revision."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="votes")
    revision = models.PositiveIntegerField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    approve = models.BooleanField()
    role = models.CharField(max_length=16, blank=True, default="", db_default="", help_text="Spoken as.")
    stepped_up = models.BooleanField(
        default=False, db_default=False, help_text="Whether it took a second factor, which was given."
    )
    cast_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["approval", "revision", "user"], name="vote_once_per_revision")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} on {self.approval_id}"


class Decision(models.Model):
    """How a request ended by a person's word. There is at most one."""

    approval = models.OneToOneField(Approval, on_delete=models.CASCADE, related_name="decision")
    verdict = models.CharField(max_length=16)  # approve, edit, reject, answer
    digest = models.CharField(max_length=64, help_text="Of what the person was shown.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    via = models.CharField(max_length=16, default="browser")  # browser, token
    reason = models.TextField(blank=True)
    answer = models.JSONField(null=True)
    decided_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(verdict__in=["approve", "edit", "reject", "answer"]), name="decision_verdict"
            )
        ]

    def __str__(self) -> str:
        return f"{self.verdict} {self.approval_id}"


class Reopening(models.Model):
    """A person's word that what was denied may be asked again, by any run of that agent."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="reopenings")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    reason = models.TextField(blank=True)
    reopened_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["approval"], name="reopened_once")]

    def __str__(self) -> str:
        return f"{self.approval_id} by {self.user_id}"


class DeliveryStatus(models.TextChoices):
    """How far word to a program has come."""

    WAITING = "waiting"  # for its first or its next attempt
    DELIVERED = "delivered"
    DEAD = "dead"  # given up, until a person sends it again


class Delivery(models.Model):
    """Word of a request to the program that asked; written with what it tells of, and sent by a worker."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=32, help_text="What it tells, such as approval.approved.")
    status = models.CharField(max_length=16, choices=DeliveryStatus, default=DeliveryStatus.WAITING)
    body = models.TextField(blank=True, help_text="As it was first sent: no attempt sends another.")
    attempts = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField()
    next_at = models.DateTimeField(null=True, help_text="While it waits: not before.")
    last_at = models.DateTimeField(null=True)
    answer_status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True, help_text="How the last answer begins: an outsider's words.")
    error = models.TextField(blank=True, help_text="Why the last attempt did not do.")

    class Meta:
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["next_at"], name="delivery_due", condition=Q(status=DeliveryStatus.WAITING)),
            models.Index(fields=["-created_at", "-id"], name="delivery_newest"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=DeliveryStatus.values), name="delivery_status"),
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.WAITING, next_at__isnull=False)
                | (~Q(status=DeliveryStatus.WAITING) & Q(next_at__isnull=True)),
                name="delivery_next_while_it_waits",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.approval_id}"


class Halt(models.Model):
    """An emergency stop: while it stands, nothing is claimed. `agent` empty: all agents; `tool`: only its calls.

    `agent` may be another program, named as PROGRAM and its user: then nobody is asked for it.
    """

    agent = models.CharField(max_length=64, blank=True)
    tool = models.CharField(max_length=128, blank=True, default="", db_default="")
    reason = models.TextField(blank=True)
    halted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="None: Gatehouse itself.",
    )
    halted_at = models.DateTimeField()
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    lifted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "tool"], condition=Q(lifted_at__isnull=True), name="halt_once_per_target"
            )
        ]

    def __str__(self) -> str:
        return self.what

    @property
    def what(self) -> str:
        """What is stopped, in words."""
        if self.tool:
            return f"{self.tool} of {self.agent}" if self.agent else f"the tool {self.tool}"
        if self.agent.startswith(PROGRAM):
            return f"the program {self.agent.removeprefix(PROGRAM)}"
        return self.agent or "all agents"

    @property
    def by(self) -> str:
        """Who pressed it."""
        return self.halted_by.get_username() if self.halted_by else "Gatehouse"
