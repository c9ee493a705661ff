from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from agents import precedents, questions
        from agents.memory.re_embedding import wake_for
        from agents.runtime.dispatch import wake_decided, wake_held
        from agents.sessions import turn_ended
        from traces.recorder import subscribe

        subscribe("approval.", wake_decided)
        subscribe("approval.held", wake_held)
        subscribe("run.", turn_ended)
        for event in ("agent.published", "memory.remembered", "answer.kept"):
            subscribe(event, wake_for)
        subscribe("halt.lifted", questions.forget)
        subscribe("agent.published", precedents.wake_for)
