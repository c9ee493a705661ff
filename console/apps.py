from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    name = "console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console import celery
        from console.people.groups import make_groups

        celery.app.set_default()  # tasks are sent through it from any process

        post_migrate.connect(make_groups, sender=self)
