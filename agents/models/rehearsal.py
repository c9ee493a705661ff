"""Rehearsals: runs that are made to see what an agent does, and of which nothing reaches the world."""

from django.conf import settings
from django.db import models

from agents.models.run import Run


class RehearsalKind(models.TextChoices):
    """What a rehearsal is made for."""

    REPLAY = "replay"  # the same task again, each call answered as it was
    FORK = "fork"  # from a step of another run on, with something changed
    CASE = "case"  # a task of a suite


class Rehearsal(models.Model):
    """What a rehearsed run goes by. Its row in `Run` says that it is one, so that no other run is asked for this."""

    run = models.OneToOneField(Run, primary_key=True, on_delete=models.CASCADE, related_name="rehearsed_as")
    of = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="rehearsals")
    kind = models.CharField(max_length=8, choices=RehearsalKind)
    from_step = models.IntegerField(
        null=True, help_text="The last step of the other run that it begins with."
    )
    changes = models.JSONField(default=dict, help_text="instructions, model, input, result, live_reads")
    answers = models.JSONField(default=dict, help_text="By tool, in order: what its calls are answered with.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=RehearsalKind.values), name="rehearsal_kind_is_known"
            ),
        ]

    @property
    def words(self) -> str:
        """What it is, for people."""
        match self.kind:
            case RehearsalKind.REPLAY:
                what = f"Replay of run {self.of_id}"
            case RehearsalKind.FORK:
                what = f"Fork of run {self.of_id} from step {self.from_step}"
            case _:
                what = "A case of a suite"
        return f"{what}: nothing of it reached the world."

    def __str__(self) -> str:
        return f"{self.kind} {self.run_id}"
