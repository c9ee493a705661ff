"""Picking up the runs that are to be looked at: a worker takes their ids from a list in Valkey, as it has threads free.

A Celery message for each stretch goes through much code for three words. Nothing hangs on the list: an id
that is lost costs time, never work, as the sweeper finds its run.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import redis
import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

DUE = "gatehouse:due"  # the list
BLOCK_SECONDS = 1.0  # for which the server holds a question that it has no answer to
PAUSE_SECONDS = 0.5  # while Valkey is away
AT_ONCE = 4  # ids with one question, so that many that wait cost few, and other workers get their share


class Pickup:
    """A thread that takes ids, and `threads` that look at the runs, by `look`."""

    def __init__(self, look: Callable[[UUID], None], *, threads: int) -> None:
        self._look = look
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="run")
        self._free = threading.Semaphore(threads)  # what this worker can't begin at once, another may
        self._over = threading.Event()
        self._taker = threading.Thread(target=self._take_forever, name="pickup", daemon=True)

    def start(self) -> None:
        """Take from now on."""
        self._taker.start()

    def stop(self, *, wait: bool = True) -> None:
        """Take no more; return once all that was taken has come to its wait or its end, unless that isn't waited for."""
        self._over.set()
        if wait:
            self._taker.join()
        self._pool.shutdown(wait=wait, cancel_futures=not wait)

    def _take_forever(self) -> None:
        client = redis.Redis.from_url(
            settings.VALKEY_URL,
            decode_responses=True,
            socket_timeout=5 * BLOCK_SECONDS,
            socket_connect_timeout=5,
            retry=None,
        )
        while not self._over.is_set():
            if not self._free.acquire(timeout=BLOCK_SECONDS):
                continue
            places = 1
            while places < AT_ONCE and self._free.acquire(blocking=False):
                places += 1
            try:
                found = client.blmpop(BLOCK_SECONDS, 1, DUE, direction="LEFT", count=places)
                for run_id in found[1] if found else ():
                    self._pool.submit(self._begin, str(run_id))
                    places -= 1
            except redis.exceptions.RedisError as error:
                log.warning("pickup.failed", error=str(error))
                self._over.wait(PAUSE_SECONDS)
            finally:
                if places:
                    self._free.release(places)
        client.close()

    def _begin(self, run_id: str) -> None:
        try:
            self._look(UUID(run_id))
        except Exception:  # the run has been given back, and is woken again, a limited number of times
            log.exception("run.broke_off", run=run_id)
        finally:
            self._free.release()
