"""Stopping the reads of a run that was cancelled. An effect is never stopped halfway: nobody would know what it did."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

_reads: dict[Future[Any], str] = {}  # what waits for an answer in this process, with its run


@contextmanager
def stoppable(reading: Future[Any], run_id: str) -> Iterator[None]:
    """Have `stop_reads` cancel this while the block lasts; the server is then told to stop."""
    _reads[reading] = run_id
    try:
        yield
    finally:
        del _reads[reading]


def stop_reads(run_id: str) -> None:
    """Cancel the reads that this process makes for a run."""
    for reading, of in list(_reads.items()):
        if of == run_id:
            reading.cancel()
