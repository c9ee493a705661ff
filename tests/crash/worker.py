"""The processes that crash tests start: the real Celery worker, and people's and programs' acts, each with its fate.

All are forked from one process that has imported everything and has neither threads nor connections: what runs after
the fork is what `celery worker` runs, without the seconds that the imports take.
"""

import importlib
import os
import sys
import threading
from pathlib import Path
from uuid import UUID

import django
from django.apps import apps

if not apps.ready:
    django.setup()

from django.conf import settings
from django.contrib.auth.models import User
from django.core.checks import run_checks

from agents.actions import start_run
from agents.decisions import decide
from agents.providers.routing import using
from agents.providers.scripted import Scripted
from approvals.access import Actor
from console.celery import app
from console.services.child import follow_parent
from tests.crash.fate import Doomed, Fate, committing
from tests.payment import play

# What a worker imports and checks before it is ready.
app.loader.import_default_modules()
for module in (
    "celery.apps.worker",
    "celery.bin.worker",
    "celery.concurrency.thread",
    "kombu.transport.redis",
):
    importlib.import_module(module)
run_checks()

# As console.services.stack starts workers.
COMMAND = ["worker", "--pool", "threads", "--concurrency", "50", "--without-gossip", "--without-mingle"]
COMMAND += ["--without-heartbeat", "--loglevel", "INFO"]


def work(folder: Path, fate: Fate | None = None, lease_seconds: float = 15, latency: float = 0) -> None:
    """Be a worker until killed; with a fate, by its own hand. `latency` is how long a model call takes (s)."""
    _begin(folder, fate)
    settings.LEASE_SECONDS = lease_seconds
    with using(Doomed(fate, play) if fate else Scripted(play, latency=latency)):
        app.worker_main(COMMAND)


def start(folder: Path, fate: Fate, agent: str) -> None:
    """Start a run, as a request of the console or the API does."""
    _begin(folder, fate)
    with committing("start"):
        start_run(agent=agent, input="Pay what we owe to acme.", trusted_input=True)


def approve(folder: Path, fate: Fate, approval_id: UUID, digest: str, username: str) -> None:
    """Approve, as a request of the console does."""
    _begin(folder, fate)
    actor = Actor(user=User.objects.get(username=username))
    with committing("decision"):
        decide(approval_id=approval_id, actor=actor, decision="approve", digest=digest)


def _begin(folder: Path, fate: Fate | None) -> None:
    assert threading.active_count() == 1, "a fork with threads is no honest start"
    follow_parent(9)  # type: ignore[arg-type]
    os.environ["GATEHOUSE_TEST_LEDGER"] = str(folder / "ledger")
    output = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    if fate:
        fate.rule()
