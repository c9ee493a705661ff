"""Files that tools returned."""

from django.db import models

from agents.models.call import ToolCall
from traces.ids import new_id

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


class Attachment(models.Model):
    """An image, a sound or another file in the result of a call; the agent is told of it, people can see it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    call = models.ForeignKey(ToolCall, on_delete=models.CASCADE, related_name="attachments")
    media_type = models.CharField(max_length=100, help_text="As its tool calls it.")
    content = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("created_at",)

    @property
    def is_picture(self) -> bool:
        """Whether a browser may show it."""
        return self.media_type in PICTURES

    def __str__(self) -> str:
        return f"{self.media_type} of {self.call_id}"
