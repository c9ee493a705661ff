"""What agents keep: notes of a run, large results apart, memories over runs, and answers that can be given again."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Func, GeneratedField, Q
from pgvector.django import VectorField

from agents.models.agent import Agent, AgentVersion
from agents.models.call import ToolCall
from agents.models.run import Run
from traces.ids import new_id


class Note(models.Model):
    """One entry of a run's scratchpad."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="notes")
    name = models.CharField(max_length=100)
    text = models.TextField()
    written_at = models.DateTimeField()

    class Meta:
        ordering = ("run", "name")
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="note_name")]

    def __str__(self) -> str:
        return self.name


class StoredResult(models.Model):
    """A tool's result that is too large for a prompt, which holds its beginning and this id instead."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    call = models.OneToOneField(ToolCall, on_delete=models.CASCADE, related_name="stored_result")
    text = models.TextField(help_text="The data: words as they are, else JSON.")
    size = models.PositiveIntegerField(help_text="Characters.")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"result of {self.call_id}"


class MemoryKind(models.TextChoices):
    """What a memory is about."""

    EPISODIC = "episodic"  # what happened
    SEMANTIC = "semantic"  # what is known


class Memory(models.Model):
    """Something an agent remembers about one subject, with where it comes from."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="memories")
    subject_digest = models.CharField(max_length=64, help_text="About whom; recalled for nobody else.")
    kind = models.CharField(max_length=16, choices=MemoryKind)
    text = models.TextField()
    words = GeneratedField(
        expression=Func(F("text"), template="to_tsvector('simple'::regconfig, %(expressions)s)"),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    embedding = VectorField(null=True)
    embedded_by = models.CharField(
        max_length=160, blank=True, help_text="The model, by which vectors compare."
    )
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="memories")
    tainted = models.BooleanField(default=True, help_text="It stems from what outsiders wrote.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "memories"
        indexes = [
            models.Index(fields=["agent", "subject_digest", "-created_at"], name="memory_subject"),
            GinIndex(fields=["words"], name="memory_words"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=MemoryKind.values), name="memory_kind"),
            models.UniqueConstraint(fields=["run"], name="memory_episode", condition=Q(kind="episodic")),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class CachedAnswer(models.Model):
    """An answer that can be given again to the same question of the same subject."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    version = models.ForeignKey(AgentVersion, on_delete=models.CASCADE, related_name="+")
    subject_digest = models.CharField(max_length=64)
    question = models.TextField()
    question_digest = models.CharField(max_length=64)
    embedding = VectorField(null=True)
    embedded_by = models.CharField(max_length=160, blank=True)
    answer = models.TextField()
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["version", "subject_digest", "question_digest"], name="answer_question"),
        ]

    def __str__(self) -> str:
        return self.question[:80]
