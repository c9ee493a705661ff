"""One session of the bench: the installation is started, the cells run one after the other, everything ends."""

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import call_command

from tests.bench import cells
from tests.bench.conversations import conversations
from tests.bench.crash import crash
from tests.bench.driver import Driver
from tests.bench.gateway import gateway
from tests.bench.inbox import inbox
from tests.bench.meter import Meter
from tests.bench.recovery import recover
from tests.bench.report import ONE, TWO, targets
from tests.bench.rivals import Rival, rival
from tests.bench.site import Site
from tests.bench.work import clock

ALONE = frozenset({"conversations", "gateway", "inbox", "recovery", "crash"})  # cells of the engine alone


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
        # They come first, and alone: the workers, when idle, look around every two seconds.
        for name, module, interpreter, processes in _contenders(options):
            with rival(site, module=module, interpreter=interpreter, processes=processes) as contender:
                document["contenders"][name] = rows = {}
                for cell in options.cells:
                    if cell in ALONE or (processes > 1 and cell in {"r5a-1", "decision"}):
                        continue
                    begun = clock()
                    rows[cell] = _cell_of(contender, cell, options)
                    sys.stderr.write(f"{name}, {cell}: {clock() - begun:.1f} s\n")
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
            cells.measure(
                driver, 3, rounds=1 if options.quick else 2
            )  # whoever does something first takes longer
            for cell in options.cells:
                begun = clock()
                document["engine"][cell] = _cell(driver, cell, options)
                sys.stderr.write(f"{cell}: {clock() - begun:.1f} s\n")
        finally:
            driver.close()
            meter.close()
        document["violations"] += document["engine"].get("crash", {}).get("violations", [])
        document["violations"] += document["engine"].get("conversations", {}).get("errors", [])
        document["targets"] = targets(document)
        return document
    finally:
        site.close()


def _contenders(options: argparse.Namespace) -> Iterator[tuple[str, str, str, int]]:
    """Name, module, interpreter and number of processes of each."""
    if not options.no_raw:
        yield "hand-written loop", "tests.bench.raw_loop", sys.executable, 1
    if options.langgraph:
        for number, name in ((1, ONE), (2, TWO)):
            yield name, "tests.bench.langgraph_peer", options.langgraph, number


def _cell(driver: Driver, cell: str, options: argparse.Namespace) -> dict[str, Any]:
    match cell.split("-"):
        case ["r5a", number]:
            runs, rounds = _size(number, options)
            hold = (lambda batch: cells.held(driver, batch)) if number == "1000" else None
            return cells.measure(driver, runs, rounds=rounds, settle=runs == 200, while_waiting=hold)
        case ["r5l", number]:
            return cells.slow(driver, _size(number, options)[0])
        case ["decision"]:
            return cells.one_at_a_time(driver, 4 if options.quick else 40)
        case ["conversations"]:
            return conversations(driver, 20 if options.quick else 200)
        case ["gateway"]:
            return gateway(driver, 20 if options.quick else 300)
        case ["inbox"]:
            return inbox(driver, pages=20 if options.quick else 100, arrivals=5 if options.quick else 30)
        case ["recovery"]:
            return recover(driver, 20 if options.quick else 200)
        case ["crash"]:
            trials = min(options.trials, 2) if options.quick else options.trials
            return crash(driver, runs=20 if options.quick else 200, trials=trials, seed=options.seed)
    raise ValueError(cell)


def _cell_of(contender: Rival, cell: str, options: argparse.Namespace) -> dict[str, Any]:
    match cell.split("-"):
        case ["r5a", number]:
            runs, rounds = _size(number, options)
            return contender.measure(runs, rounds=rounds, settle=runs == 200)
        case ["r5l", number]:
            return contender.slow(_size(number, options)[0])
        case ["decision"]:
            return contender.one_at_a_time(4 if options.quick else 40)
    raise ValueError(cell)


def _size(number: str, options: argparse.Namespace) -> tuple[int, int]:
    """Runs and rounds of a cell for so many runs."""
    runs, rounds = int(number), cells.ROUNDS.get(int(number), 1)
    return (max(1, runs // 10), max(1, rounds // 10)) if options.quick else (runs, rounds)
