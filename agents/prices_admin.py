"""Prices for admins: what a model costs here, over the price list."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from agents.models import Price
from agents.providers.pricing import KEEP_SECONDS, PRICED_PROVIDERS
from approvals.access import Actor
from traces.recorder import record

BUCKETS = ("input", "cache_read", "cache_write", "output")


if TYPE_CHECKING:
    _PriceModelForm = forms.ModelForm[Price]
else:
    _PriceModelForm = forms.ModelForm


class PriceForm(_PriceModelForm):
    """A price; providers are those that agents can name."""

    provider = forms.ChoiceField(choices=[(name, name) for name in sorted(PRICED_PROVIDERS)])

    def clean(self) -> dict[str, Any]:
        """No price is below zero."""
        cleaned = super().clean() or {}
        for bucket in BUCKETS:
            if (cleaned.get(bucket) or 0) < 0:
                self.add_error(bucket, "A price can't be below zero.")
        return cleaned


@admin.register(Price)
class PriceAdmin(ModelAdmin):
    """Prices in USD for a million tokens; each change is in the audit log."""

    form = PriceForm
    list_display = ("provider", "model", *BUCKETS)
    search_fields = ("provider", "model")
    fieldsets = (
        (
            None,
            {
                "fields": ("provider", "model"),
                "description": "The provider and model as agents name them: anthropic:claude-haiku-4-5.",
            },
        ),
        (
            "USD for a million tokens",
            {
                "fields": BUCKETS,
                "description": f"They hold for calls from about {KEEP_SECONDS:.0f} s later on, in place of the price list.",
            },
        ),
    )

    def save_model(self, request: HttpRequest, obj: Price, form: PriceForm, change: bool) -> None:
        """Save and record who set it."""
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            self._record(request, obj, "price.set")

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        """Delete and record who did: the price list holds again."""
        with transaction.atomic():
            self._record(request, obj, "price.removed")
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        """Each on its own."""
        for price in queryset:
            self.delete_model(request, price)

    def _record(self, request: HttpRequest, price: Price, name: str) -> None:
        user = request.user
        assert isinstance(user, User)
        data: dict[str, Any] = {"price": str(price)} | {
            bucket: str(getattr(price, bucket)) for bucket in BUCKETS
        }
        record(name, actor=str(Actor(user)), object_id=str(price)[:64], data=data)
