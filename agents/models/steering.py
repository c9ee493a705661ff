"""What people want done about the plan of a run while it goes on."""

from django.db import models
from django.db.models import Q

from agents.models.run import Run
from traces.ids import new_id


class SteeringKind(models.TextChoices):
    """What can be done about a plan."""

    RETRY = "retry"  # do a step that is closed once more
    SKIP = "skip"  # leave a step out
    REPLAN = "replan"  # plan anew, with what was done so far


class Steering(models.Model):
    """A person's wish about the plan; the holder of the run takes it in at its next step, once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steerings")
    action = models.CharField(max_length=8, choices=SteeringKind)
    number = models.PositiveSmallIntegerField(null=True, help_text="The step of the plan, from 1.")
    plan = models.PositiveIntegerField(help_text="Which plan was looked at: the number of its step.")
    asked_by = models.CharField(max_length=160, help_text="As the actor of an event.")
    asked_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("asked_at", "id")
        indexes = [
            models.Index(fields=["run"], name="steering_untaken", condition=Q(taken_at__isnull=True)),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(action__in=SteeringKind.values), name="steering_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} in {self.run_id}"
