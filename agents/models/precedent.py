"""Decided actions, so that the like of them can be found."""

from django.db import models
from django.db.models import Q
from pgvector.django import VectorField

from approvals.models import Approval


class Precedent(models.Model):
    """An action that people were asked about, as a vector; what became of it stands with its request."""

    approval = models.OneToOneField(Approval, on_delete=models.CASCADE, primary_key=True, related_name="+")
    tool = models.CharField(max_length=128)
    decided_at = models.DateTimeField(null=True, help_text="None while it waits.")
    embedding = VectorField(null=True)
    embedded_by = models.CharField(max_length=160, help_text="The model, by which vectors compare.")

    class Meta:
        indexes = [
            models.Index(
                fields=["tool", "-decided_at"],
                name="precedent_tool",
                condition=Q(decided_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.approval_id}"
