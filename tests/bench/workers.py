"""The Celery application of the bench's workers: the product's own, with a scripted model and a word once it is ready."""

import time
from collections.abc import Callable
from typing import Any

from celery.signals import worker_ready

from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from console.celery import app
from tests.bench import ledger, work

__all__ = ["app"]

SLOW = "slow"  # the name of the model that takes `work.MODEL_SECONDS`


class Model(Scripted):
    """A scripted model that keeps nothing, and says its text at once as the peers' models do."""

    def complete(
        self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None
    ) -> ModelResponse:
        response = super().complete(request)
        if on_text is not None:
            on_text(response.text)
        self.requests.clear()
        return response


def play(request: ModelRequest) -> ModelResponse:
    """Three notes, the act, and a last word."""
    if request.model == SLOW:
        time.sleep(work.MODEL_SECONDS)
    done = sum(message.role == "tool" for message in request.messages)
    words = say(work.say(done + 1))
    if done == work.CALLS:
        return words
    return together(words, call("act" if done + 1 == work.GATED else "note", number=done + 1))


@worker_ready.connect
def _say_ready(**_: Any) -> None:
    ledger.enter("ready")


_model = using(Model(play))
_model.__enter__()  # for as long as the process lives
