"""Standing grants as rows: what is allowed without asking, for how long, and who took which place."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from traces.ids import new_id


class Grant(models.Model):
    """Calls of one agent's tool that run without asking, within a scope, a count, a budget and a time.

    It holds from when as many people as the rule asks have confirmed it, until it is used up, expires or is revoked.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.CharField(max_length=64)
    tool = models.CharField(max_length=128)
    tool_digest = models.CharField(max_length=64)
    scope = models.JSONField(help_text="What each argument may be, see approvals.scopes.")
    subject = models.JSONField(null=True, help_text="On whose behalf alone; none: anybody's.")
    tainted = models.BooleanField(default=False, help_text="Also after outsiders' text was read.")

    uses = models.PositiveIntegerField(help_text="How often.")
    used = models.PositiveIntegerField(default=0)
    budget_of = models.CharField(
        max_length=128, blank=True, help_text="The argument that the budget adds up."
    )
    budget = models.DecimalField(max_digits=20, decimal_places=6, null=True)
    spent = models.DecimalField(max_digits=20, decimal_places=6, default=0)

    role = models.CharField(max_length=16)
    approvers = models.PositiveSmallIntegerField(help_text="How many must confirm it.")
    roles = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    approval_id = models.UUIDField(null=True, help_text="The request from whose card it was made.")
    covered = models.JSONField(default=dict, help_text="What a proposal would have covered.")

    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    live_at = models.DateTimeField(null=True, help_text="When enough had confirmed it.")
    expires_at = models.DateTimeField()
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True)
    revoked_because = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["agent", "tool", "expires_at"],
                name="grant_standing",
                condition=Q(revoked_at__isnull=True),
            )
        ]
        constraints = [
            models.CheckConstraint(condition=Q(used__lte=F("uses")), name="grant_not_overused"),
            models.CheckConstraint(
                condition=Q(budget__isnull=True) | Q(spent__lte=F("budget")), name="grant_not_overspent"
            ),
        ]

    def __str__(self) -> str:
        return f"grant for {self.tool} of {self.agent}"


class GrantConfirmation(models.Model):
    """One person's word for a grant."""

    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, related_name="confirmations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16)
    confirmed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["grant", "user"], name="grant_confirmed_once")]

    def __str__(self) -> str:
        return f"{self.user_id} for {self.grant_id}"


class GrantUse(models.Model):
    """A place in a grant that a call took. `call_id` is the id of a row upstairs."""

    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, related_name="places")
    call_id = models.UUIDField()
    digest = models.CharField(max_length=64, help_text="Of exactly the action that it is for.")
    amount = models.DecimalField(max_digits=20, decimal_places=6, default=0)
    taken_at = models.DateTimeField()
    returned_at = models.DateTimeField(null=True, help_text="When it was given back, unused.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["call_id"], condition=Q(returned_at__isnull=True), name="grant_place_once_per_call"
            )
        ]
        indexes = [models.Index(fields=["call_id"], name="grant_place_of_call")]

    def __str__(self) -> str:
        return f"{self.call_id} in {self.grant_id}"
