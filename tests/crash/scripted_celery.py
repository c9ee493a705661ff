"""The Celery application with a scripted model, for `celery --app tests.crash.scripted_celery worker`."""

from agents.providers.routing import using
from agents.providers.scripted import Scripted
from console.celery import app
from tests.payment import play

__all__ = ["app"]

_model = using(Scripted(play, latency=0.1))
_model.__enter__()  # for as long as the process lives
