"""What a person proves with, beside being signed in."""

from django.conf import settings
from django.db import models


class SecondFactor(models.Model):
    """A person's authenticator. Its secret is sealed; until it is confirmed by a code it counts for nothing."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="second_factor"
    )
    sealed = models.BinaryField(help_text="The secret, encrypted.")
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=0, help_text="The time step of the last code that was taken.")
    failures = models.PositiveIntegerField(default=0, help_text="Wrong codes since the last right one.")
    blocked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"


class RecoveryCode(models.Model):
    """A code that stands in for the authenticator once. Only its SHA-256 is kept."""

    factor = models.ForeignKey(SecondFactor, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"recovery code of {self.factor_id}"
