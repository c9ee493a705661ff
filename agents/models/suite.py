"""Suites of cases, and what came of running them."""

from django.conf import settings
from django.db import models

from agents.models.agent import Agent, AgentVersion
from agents.models.run import Run
from traces.ids import new_id


class Suite(models.Model):
    """What one agent is expected to do."""

    name = models.CharField(max_length=64, unique=True)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="suites")
    digest = models.CharField(max_length=64, help_text="Of its cases.")
    baseline = models.ForeignKey(
        "SuiteRun",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="What a person accepted.",
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Case(models.Model):
    """One case of a suite, as its file has it now."""

    suite = models.ForeignKey(Suite, on_delete=models.CASCADE, related_name="cases", db_index=False)
    place = models.SmallIntegerField(help_text="In the file, from 0.")
    name = models.CharField(max_length=200)
    config = models.JSONField(help_text="As agents.evals.config.CaseConfig.")

    class Meta:
        ordering = ("suite", "place")
        constraints = [models.UniqueConstraint(fields=["suite", "name"], name="case_name")]

    def __str__(self) -> str:
        return self.name


class SuiteRun(models.Model):
    """All cases of a suite, run once with one version of the agent."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    suite = models.ForeignKey(Suite, on_delete=models.CASCADE, related_name="runs", db_index=False)
    version = models.ForeignKey(AgentVersion, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64, help_text="Of the cases that it began with.")
    baseline = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="With which it is compared.",
    )
    actor = models.CharField(max_length=160, help_text="Who started it, as in events.")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()
    deadline_at = models.DateTimeField(help_text="A case that goes on beyond has failed.")
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at",)
        indexes = [models.Index(fields=["suite", "-created_at", "-id"], name="suite_run_newest")]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.suite}"


class CaseResult(models.Model):
    """What came of one case."""

    suite_run = models.ForeignKey(SuiteRun, on_delete=models.CASCADE, related_name="results", db_index=False)
    place = models.SmallIntegerField()
    name = models.CharField(max_length=200)
    config = models.JSONField(help_text="The case as it was when it was started.")
    run = models.OneToOneField(Run, null=True, on_delete=models.SET_NULL, related_name="case_result")
    passed = models.BooleanField(null=True, help_text="None while it goes on.")
    findings = models.JSONField(default=list, help_text="What is otherwise than expected, in sentences.")
    status = models.CharField(max_length=20, blank=True, help_text="Of its run.")
    turns = models.IntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    calls = models.JSONField(default=list, help_text="{tool, refused, asks} of each call, in order.")

    class Meta:
        ordering = ("suite_run", "place")
        constraints = [models.UniqueConstraint(fields=["suite_run", "place"], name="case_result_place")]

    def __str__(self) -> str:
        return self.name
