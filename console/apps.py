from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    name = "console"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from console import celery
        from console.callbacks.sending import wake_for
        from console.people import sign_ins
        from console.people.groups import make_groups
        from traces.recorder import subscribe

        celery.app.set_default()  # tasks are sent through it from any process

        subscribe("approval.", wake_for)
        subscribe("callback.resent", wake_for)
        sign_ins.listen()
        post_migrate.connect(make_groups, sender=self)
