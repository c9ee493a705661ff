"""Conversations at once: each of several messages, one after the other, with a simulated model that takes its time."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection

from agents.actions import start_run
from agents.states import FINAL_RUN
from console import environment
from console.services.child import stop_child
from tests import world
from tests.bench.driver import POLICY, Driver
from tests.bench.meter import cost, spread
from tests.bench.work import clock

AGENT = "talker"
READING_SECONDS = 8.0  # and writing, between an answer and the next message
LATENCY_SECONDS = (0.4, 1.2)  # of each model call
SPEAKERS = 16  # threads that say what is due
WARM_UP = 20  # conversations of one message
PATIENCE = 60  # s, for one turn
LOOK_EVERY = 0.02  # s

# The first turn looks something up, and so calls the model twice; the later ones answer at once.
SCRIPTS = f"""
- name: later
  when: {{user: "earlier in this conversation"}}
  fault: {{kind: latency, min: {LATENCY_SECONDS[0]}, max: {LATENCY_SECONDS[1]}}}
  executor: {{text: "It is as I said before."}}
- name: first
  when: {{user: "."}}
  fault: {{kind: latency, min: {LATENCY_SECONDS[0]}, max: {LATENCY_SECONDS[1]}}}
  executor:
    - {{text: "I look.", calls: [{{name: note, arguments: {{number: 1}}}}]}}
    - {{text: "It is on its way."}}
"""


@dataclass(eq=False)
class Talk:
    """One conversation."""

    key: str
    left: int  # messages
    due: float  # s, Unix: when its next message is said
    run: UUID | None = None


def conversations(
    driver: Driver, number: int = 200, messages: int = 5, *, reading: float = READING_SECONDS
) -> dict[str, Any]:
    """`number` conversations go on together; in each, the next message comes `reading` seconds after an answer.

    They begin over the time that one of their turns takes, as people do. A turn counts from when its message was due,
    so that a driver which is late makes the figure worse, not better.
    """
    with _simulator(driver.site.home) as url:
        world.publish_agent(
            AGENT,
            models={"executor": {"provider": "anthropic", "model": "claude-sonnet-4-5", "base_url": url}},
            tools=[{"python": "tests.bench.tools.note"}],
            policy=POLICY,
        )
        _talk(
            driver, [Talk(f"first {n}", 1, time.time()) for n in range(WARM_UP)], reading
        )  # loads the client's code
        waiting = driver.meter.rss("workers")
        before, begun = driver.meter.read(), clock()
        begin, spacing = time.time(), (reading + sum(LATENCY_SECONDS) / 2) / number
        talks = [Talk(f"talk {n}", messages, begin + n * spacing) for n in range(number)]
        turns, errors, peak = _talk(driver, talks, reading)
        after, seconds = driver.meter.read(), clock() - begun
    return cost(before, after, runs=number * messages) | {
        "conversations": number,
        "messages": messages,
        "reading_s": reading,
        "turn_ms": spread(turns),
        "errors": errors,
        "turns_per_s": round(number * messages / seconds, 2),
        "worker_rss_mb": {
            "before": [round(size / 2**20, 1) for size in waiting],
            "peak": [round(size / 2**20, 1) for size in peak],
        },
    }


def _talk(driver: Driver, talks: list[Talk], reading: float) -> tuple[list[float], list[str], list[int]]:
    """How long each turn took from its message to its answer (s), what went wrong, and the most memory held."""

    def say(talk: Talk) -> None:
        talk.left -= 1
        talk.run = start_run(agent=AGENT, input="Where is my order?", conversation=talk.key).pk
        connection.close()

    turns: list[float] = []
    errors: list[str] = []
    peak = driver.meter.rss("workers")
    with ThreadPoolExecutor(SPEAKERS) as threads:
        going: dict[UUID | None, Talk] = {}
        waiting = list(talks)
        while going or waiting:
            time.sleep(LOOK_EVERY)
            saying = [talk for talk in waiting if talk.due <= time.time()]
            waiting = [talk for talk in waiting if talk not in saying]
            list(threads.map(say, saying))
            going |= {talk.run: talk for talk in saying}
            over = driver.meter.ask(
                "SELECT id, status, reason, extract(epoch FROM ended_at)::float8 FROM agents_run"
                " WHERE id = ANY(%s) AND status = ANY(%s)",
                (list(going), sorted(map(str, FINAL_RUN))),
            )
            for run, status, reason, ended_at in over:
                talk = going.pop(run)
                turns.append(ended_at - talk.due)
                if status != "completed":
                    errors.append(f"{status}: {reason}")
                talk.due = ended_at + reading
                if talk.left:
                    waiting.append(talk)
            peak = [max(sizes) for sizes in zip(peak, driver.meter.rss("workers"), strict=True)]
            driver.site.require_alive()
            if late := [talk.key for talk in going.values() if time.time() - talk.due > PATIENCE]:
                raise RuntimeError(f"No answer within {PATIENCE} s: {', '.join(late)}")
    return turns, errors, peak


@contextmanager
def _simulator(home: Path) -> Iterator[str]:
    """The simulated models in a process of their own; where they answer."""
    scripts = home / "conversations.yaml"
    scripts.write_text(SCRIPTS)
    command = [sys.executable, "-m", "agents.simulator", "--port", "0", "--scripts", str(scripts)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=environment.ROOT)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().decode().split()[1]
    finally:
        stop_child(process, by=signal.SIGTERM, seconds=5)
        if process.stdout is not None:
            process.stdout.close()
