"""Threads for what reads the database or calls a tool, beside the loop that holds the connections."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connection

THREADS = 64  # tools of programs that run at a time in one web process; more wait for their turn

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns or raises. Its database connection goes back to the pool."""

    def run() -> T:
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, context.run, run)
