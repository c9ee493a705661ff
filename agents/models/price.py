"""Prices that an admin sets over the price list."""

from django.db import models


class Price(models.Model):
    """What a model costs here, in USD for a million tokens of each bucket."""

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=128)
    input = models.DecimalField("fresh input", max_digits=12, decimal_places=6)
    cache_read = models.DecimalField(max_digits=12, decimal_places=6)
    cache_write = models.DecimalField(max_digits=12, decimal_places=6)
    output = models.DecimalField(max_digits=12, decimal_places=6)

    class Meta:
        ordering = ("provider", "model")
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="price_model")]

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"
