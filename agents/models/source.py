"""Where tools come from that are not Gatehouse's code: servers and documents that may change behind our back."""

from django.conf import settings
from django.db import models

from traces.ids import new_id


class ToolSource(models.Model):
    """An MCP server or an OpenAPI document, as one or several agents name it. Its tools are pinned."""

    class Kind(models.TextChoices):
        MCP = "mcp"
        OPENAPI = "openapi"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    key = models.CharField(max_length=64, unique=True, help_text="Digest of how it is reached.")
    name = models.CharField(max_length=64)
    place = models.TextField(help_text="The address or the command, without secrets.")
    first_seen_at = models.DateTimeField()
    listed_at = models.DateTimeField(help_text="When it last told its tools.")
    error = models.TextField(
        blank=True, help_text="Why it could not be asked, the last time; empty: it could."
    )

    class Meta:
        ordering = ("name", "place")
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=("mcp", "openapi")), name="source_kind")
        ]

    def __str__(self) -> str:
        return self.name


class PinnedTool(models.Model):
    """One tool of a source as it was when somebody looked at it: it is called so, or not at all."""

    class State(models.TextChoices):
        PINNED = "pinned"  # as it was looked at
        NEW = "new"  # came after the source was first listed, and nobody looked yet
        CHANGED = "changed"  # tells another description or schema now
        GONE = "gone"  # the source no longer has it
        REFUSED = "refused"  # somebody looked, and does not want it

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    source = models.ForeignKey(ToolSource, on_delete=models.CASCADE, related_name="tools")
    name = models.CharField(max_length=200, help_text="As the source calls it.")
    state = models.CharField(max_length=8, choices=State, default=State.PINNED)
    definition = models.JSONField(help_text="name, description, parameters and hints, as they are pinned.")
    digest = models.CharField(max_length=64, help_text="Of the definition.")
    seen = models.JSONField(
        null=True, help_text="The definition as the source tells it now, where it differs."
    )
    changed_at = models.DateTimeField(null=True, help_text="When that was first seen.")
    pinned_at = models.DateTimeField()
    pinned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("source", "name")
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="pinned_tool_name"),
            models.CheckConstraint(
                condition=models.Q(state__in=("pinned", "new", "changed", "gone", "refused")),
                name="pinned_tool_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.source}"
