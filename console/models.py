"""What the console keeps for itself: the tokens of programs, and the answers that it has given to them."""

from django.conf import settings
from django.db import models

from console.notifications.models import Channel, Notice, Profile, PushKey, ReadUntil

__all__ = [
    "ApiToken",
    "Channel",
    "IdempotencyRecord",
    "Notice",
    "Profile",
    "PushKey",
    "ReadUntil",
    "SavedView",
    "SigningKey",
]


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 is kept; the token itself was shown once, when it was made."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    role = models.CharField(
        max_length=16, help_text="What it may do is this role's, and only while its user has it."
    )
    scopes = models.JSONField(
        default=list, help_text="What it may do; none but decide: all that its role may."
    )
    agent = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="As which agent its calls are judged."
    )
    prefix = models.CharField(max_length=12, help_text="How it begins, to tell it from others.")
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, help_text="Exact to a minute.")
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-created_at",)
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.role})"


class SigningKey(models.Model):
    """With what callbacks to a user's programs are signed. Only `console.callbacks.keys` reads what it holds."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="signing_keys")
    sealed = models.BinaryField(help_text="The secret, encrypted.")
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, help_text="Of one that was replaced: so long it signs along.")

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["user"], name="signing_key_current", condition=models.Q(ends_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"signing key of {self.user_id}"


class SavedView(models.Model):
    """Filters of the queue under a name. Its owner changes it; others may use it where it is shared."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=60)
    filters = models.JSONField(default=dict)
    shared = models.BooleanField(default=False)
    is_default = models.BooleanField(default=False, help_text="Whether the owner's inbox opens with it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="view_name"),
            models.UniqueConstraint(
                fields=["user"], name="view_default", condition=models.Q(is_default=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name


class IdempotencyRecord(models.Model):
    """The answer to a creating request that named a key: whoever sends it again gets the same.

    It is written in the transaction that creates what was asked for: there is never one without the other.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    request_digest = models.CharField(max_length=64)
    answer = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_age")]

    def __str__(self) -> str:
        return self.key
