"""One session of the bench: the installation is started, the cells run one after the other, everything ends."""

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import Any

from django.core.management import call_command

from tests.bench import cells
from tests.bench.driver import Driver
from tests.bench.meter import Meter
from tests.bench.report import targets
from tests.bench.site import Site
from tests.bench.work import clock


def run(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The document of the session; see `tests.bench.report` for how it reads."""
    site = Site(home, ledger=Path(os.environ["GATEHOUSE_BENCH_LEDGER"]), threads=options.threads)
    try:
        site.open()
        call_command("migrate", verbosity=0)
        document: dict[str, Any] = {
            "machine": {
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "system": platform.release(),
            },
            "settings": site.check_durable() | {"workers": 2, "threads_per_worker": site.threads},
            "engine": {},
            "contenders": {},
            "violations": [],
        }
        site.staff()
        meter = Meter(
            dsn=site.database("gatehouse"),
            data=site.postgres.data,
            trees={
                "workers": [worker.pid for worker in site.workers],
                "valkey": [site.processes["valkey"].pid],
                "beat": [site.processes["beat"].pid],
            },
        )
        driver = Driver(site, meter)
        try:
            cells.measure(driver, 3, rounds=2)  # whoever does something first takes longer
            for cell in options.cells:
                begun = clock()
                document["engine"][cell] = _cell(driver, cell, options)
                sys.stderr.write(f"{cell}: {clock() - begun:.1f} s\n")
        finally:
            driver.close()
            meter.close()
        document["targets"] = targets(document)
        return document
    finally:
        site.close()


def _cell(driver: Driver, cell: str, options: argparse.Namespace) -> dict[str, Any]:
    part = 10 if options.quick else 1
    match cell.split("-"):
        case ["r5a", "1000"]:
            hold = lambda batch: cells.held(driver, batch)  # noqa: E731
            return cells.measure(driver, 1000 // part, rounds=1, while_waiting=hold)
        case ["r5a", number]:
            runs, rounds = int(number), cells.ROUNDS[int(number)]
            if options.quick:
                runs, rounds = max(1, runs // part), max(1, rounds // part)
            return cells.measure(driver, runs, rounds=rounds, settle=runs == 200)
        case ["r5l", number]:
            return cells.slow(driver, int(number) // part)
        case ["decision"]:
            return cells.one_at_a_time(driver, 40 // part)
    return {}
