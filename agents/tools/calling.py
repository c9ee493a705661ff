"""Calling a tool's own code, which may hang or raise anything, without hanging or breaking with it."""

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection, connections

T = TypeVar("T")


class Exited(RuntimeError):
    """The code tried to end the process; only its thread ended."""


def within(seconds: float, call: Callable[[], T], *, name: str) -> T:
    """What `call` returns or raises, if it does so within `seconds`; else TimeoutError.

    It runs in a thread of its own, named `name`, with a database connection of its own. A thread can't be stopped:
    one that outlives its time ends by itself, and nobody waits for it. The caller's own connection goes back to the
    pool meanwhile: many who wait would else hold all that there are. Inside a transaction it runs here instead,
    unbounded, since another thread would not see what the caller has written.
    """
    if connection.in_atomic_block:
        return call()
    connection.close()
    returned: list[T] = []
    raised: list[BaseException] = []

    def work() -> None:
        try:
            returned.append(call())
        except BaseException as error:
            raised.append(error)
        finally:
            for used in connections.all(initialized_only=True):
                used.close()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=name, daemon=True)
    thread.start()
    thread.join(seconds)
    if returned:
        return returned[0]
    if not raised:
        raise TimeoutError(f"{name} did not answer within {seconds:g} s.")
    if not isinstance(raised[0], Exception):
        raise Exited(f"{name} tried to end the process ({raised[0]!r}).") from raised[0]
    raise raised[0]
