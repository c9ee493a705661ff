"""Agents and their versions."""

from typing import Any

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from agents.config import AgentConfig


class Agent(models.Model):
    """An agent by name; what it does is in its versions, one of which is live."""

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[a-z][a-z0-9_-]*\Z", "Use lower-case letters, digits, - and _, beginning with a letter."
            )
        ],
    )
    live_version = models.ForeignKey("AgentVersion", null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class AgentVersion(models.Model):
    """One immutable, numbered configuration of an agent; a run is pinned to one."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    config = models.JSONField(help_text="As agents.config.AgentConfig.")
    digest = models.CharField(max_length=64)
    note = models.CharField(max_length=300, blank=True)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    published_at = models.DateTimeField()

    class Meta:
        ordering = ("agent", "-number")
        constraints = [models.UniqueConstraint(fields=["agent", "number"], name="agent_version_number")]

    def __str__(self) -> str:
        return f"{self.agent.name} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(f"{self} is published: publish a new version instead of changing it.")
        super().save(*args, **kwargs)

    @property
    def parsed(self) -> AgentConfig:
        """The configuration with its types; parsed once per row."""
        if not hasattr(self, "_parsed"):
            self._parsed = AgentConfig.model_validate(self.config)
        return self._parsed
