"""The Celery application. A message only says "look at this run": losing one loses nothing."""

import gc
import os
from typing import Any

from celery import Celery, bootsteps
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("gatehouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Who wakes a run does not wait for a broker that is away: the sweeper finds the run.
app.conf.broker_transport_options = {"max_retries": 0}
if app.conf.broker_url.startswith("redis"):
    # A lost message costs time, never work: none is kept until it is acknowledged. A worker that tries to restore
    # such messages while the broker goes away ends with an error instead of connecting anew.
    app.conf.broker_transport_options |= {"ack_emulation": False}
app.autodiscover_tasks(["agents", "console"])


class PickUpRuns(bootsteps.StartStopStep):
    """Beside what comes by messages, a worker picks up runs, as many at a time as it has threads for messages."""

    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Begin, now that the worker is about to be ready."""
        from agents.runtime.pickup import Pickup
        from agents.tasks import look_at

        self.pickup = Pickup(look_at, threads=worker.concurrency)
        self.pickup.start()

    def stop(self, worker: Any) -> None:
        """Bring what was picked up to its next wait."""
        self.pickup.stop()

    def terminate(self, worker: Any) -> None:
        """Leave it: others will go on."""
        self.pickup.stop(wait=False)


app.steps["worker"].add(PickUpRuns)


@worker_init.connect
def _prepare(**kwargs: Any) -> None:
    """Be there, and load what models are reached with before the first run comes, which takes a second or more.

    Meanwhile it is seen who isn't there any more, so that this worker begins with what those left.
    """
    from agents.providers.routing import preload
    from agents.runtime import presence

    presence.enter()
    preload()
    gc.collect()
    gc.freeze()  # what is loaded by now stays: it need not be looked at again and again
