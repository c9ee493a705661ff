from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agents.runtime.dispatch import wake_decided
        from traces.recorder import subscribe

        subscribe("approval.", wake_decided)
