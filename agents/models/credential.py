"""Credentials of tools: kept encrypted, and given out only to a call that runs."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models


class Credential(models.Model):
    """A secret by name. Only `agents.credentials` reads what it holds."""

    class Kind(models.TextChoices):
        BEARER = "bearer"  # Authorization: Bearer SECRET
        BASIC = "basic"  # Authorization: Basic, the secret being user:password
        HEADER = "header"  # the header `parameter`
        QUERY = "query"  # the query parameter `parameter`
        VALUE = "value"  # for the environment or the header of an MCP server that names it

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[a-z][a-z0-9_-]*\Z", "Use lower-case letters, digits, - and _, beginning with a letter."
            )
        ],
    )
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.BEARER)
    parameter = models.CharField(max_length=100, blank=True, help_text="Of a header or query: its name.")
    hosts = models.JSONField(default=list, help_text="To which it may be sent, such as api.example.com.")
    sealed = models.BinaryField(help_text="The secret, encrypted.")
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="When the secret was last set.")
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    last_used_at = models.DateTimeField(null=True, help_text="Exact to a minute.")

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=("bearer", "basic", "header", "query", "value")),
                name="credential_kind",
            )
        ]

    def __str__(self) -> str:
        return self.name
