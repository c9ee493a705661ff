"""The example `support` as a Django app."""

from django.apps import AppConfig


class SupportConfig(AppConfig):
    """A web shop whose customers write to it: what the example agent works on."""

    name = "agents.examples.support"
    label = "support"
    verbose_name = "Example: customer support"
    default_auto_field = "django.db.models.BigAutoField"
