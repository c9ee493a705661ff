"""Steps."""

from django.db import models

from agents.models.run import Run
from agents.models.soundness import sound


class StepKind(models.TextChoices):
    """What was done in a step."""

    PLAN = "plan"  # payload: goal, steps, needs_clarification; approved_by, edited where a person approved it
    MODEL = "model"  # payload: text, finish, calls; plan_step, finished with a plan; link in a chain; its calls are rows
    OBSERVE = "observe"  # payload: verdict, confidence, summary, feedback
    ANSWER = "answer"  # payload: question, text, by; what a person said
    ROUTE = (
        "route"  # payload: route or path (fast, full), confidence, reason; to which class the request belongs
    )
    DELEGATE = (
        "delegate"  # payload: parts, each with part, agent, task, budget, run; the work is in child runs
    )
    GATHER = "gather"  # payload: parts, each with part, agent, run, status, reason, output; what child runs came to
    RECALL = "recall"  # payload: memories, and answer where one could be given again; found before the first model call
    SUMMARY = "summary"  # payload: text, until; what was said and done up to the step with this number
    VERIFY = "verify"  # payload: findings; what stands in the answer and in nothing that was read
    MESSAGE = "message"  # payload: text, by, trusted; what was said to the run while it went on
    CALL = (
        "call"  # payload: text, via; what a person or another program's agent wants called, without a model
    )
    STEER = "steer"  # payload: action (retry, skip, replan, drop), by, numbers, applied, why; a change to the plan's steps


class Step(models.Model):
    """One committed step of a run, never changed afterwards; tool calls hang on the step that proposed them."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps", db_index=False)
    seq = models.IntegerField()
    kind = models.CharField(max_length=16, choices=StepKind)
    payload = models.JSONField()
    span_id = models.CharField(max_length=16, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("run", "seq")
        constraints = [
            models.UniqueConstraint(fields=["run", "seq"], name="step_seq"),
            sound("step_is_sound", "kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq}"
