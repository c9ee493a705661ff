"""`python manage.py up`: everything that Gatehouse needs, in one process that looks after the others."""

import os
import shutil
import signal
import sys
import time
from argparse import ArgumentParser
from types import FrameType
from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import Error, connections

from agents.examples.seed import seed_examples
from console import environment
from console.people.examples import EXAMPLE_PEOPLE, make_example_people
from console.people.links import make_link
from console.services.child import follow_parent
from console.services.failure import ServiceFailure
from console.services.preflight import check_port, make_home, sole_use
from console.services.stack import Stack, simulator_is_needed
from console.services.supervisor import Supervisor

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody wants this process to end."""


class Command(BaseCommand):
    """Starts the database, Valkey, the web server and the workers, and keeps them running until it is told to stop."""

    help = "Start everything, print where it answers, and keep it running. Ctrl-C stops all of it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on [127.0.0.1]")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on [8000]")
        workers = min(4, os.cpu_count() or 1)
        parser.add_argument("--workers", type=int, default=workers, help=f"worker processes [{workers}]")
        parser.add_argument(
            "--no-examples", action="store_true", help="leave out example people, agents and tickets"
        )

    def handle(self, *, host: str, port: int, workers: int, no_examples: bool, **options: Any) -> None:
        self.stopping = False
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        if os.environ.get("GATEHOUSE_STOP_WITH_PARENT"):
            follow_parent(signal.SIGTERM)
        supervisor = Supervisor(say=self._say)
        try:
            if workers < 1:
                raise ServiceFailure("At least one worker is needed: --workers 1.")
            make_home(settings.HOME)
            with sole_use(settings.HOME):
                check_port(host=host, port=port)
                try:
                    stack = Stack(
                        supervisor=supervisor, home=settings.HOME, host=host, port=port, workers=workers
                    )
                    self._start(stack, with_examples=not no_examples)
                    while not self.stopping:
                        supervisor.look(now=time.monotonic())
                        time.sleep(0.2)
                finally:
                    self._ignore_signals()
                    supervisor.stop()
                    shutil.rmtree(environment.socket_dir(settings.HOME), ignore_errors=True)
        except Stopped:
            pass
        except ServiceFailure as failure:
            self.stderr.write(str(failure))
            sys.exit(1)
        self._say("stopped")

    def _start(self, stack: Stack, *, with_examples: bool) -> None:
        begun = time.monotonic()
        if not os.environ.get("DATABASE_URL"):
            self._say("starting PostgreSQL")
            stack.start_database()
        if not os.environ.get("VALKEY_URL"):
            self._say("starting Valkey")
            stack.start_valkey()
        links = self._prepare_database(with_examples=with_examples)
        if simulator_is_needed():
            self._say("starting the simulated models (no key or base URL of a provider is set)")
            stack.start_simulator()
        self._say(f"starting the web server, {stack.workers} workers and the clock")
        stack.start_programs()
        stack.wait_ready()
        (stack.home / "base_url").write_text(stack.env["BASE_URL"])
        self._say(f"ready {stack.url}")
        for role, path in links:
            self._say(f"  sign in as {role}, once: {stack.url}{path}")
        self._say(
            f"started in {time.monotonic() - begun:.1f} s; logs are in {stack.logs}; Ctrl-C stops everything"
        )

    def _prepare_database(self, *, with_examples: bool) -> list[tuple[str, str]]:
        """Bring the tables up to date and add the examples; the roles with the paths of their sign-in links."""
        self._say("bringing the tables up to date")
        links = []
        try:
            call_command("migrate", verbosity=0, interactive=False)
            if with_examples:
                self._say("adding the examples")
                people = make_example_people()
                seed_examples()
                links = [
                    (f"{who.role} ({who.name})", make_link(user))
                    for who, user in zip(EXAMPLE_PEOPLE, people, strict=True)
                ]
        except Error as error:
            reason = str(error).strip().splitlines()[0]
            raise ServiceFailure(
                f"The database can't be used ({reason}): check DATABASE_URL and its rights."
            ) from error
        except redis.exceptions.ConnectionError as error:
            raise ServiceFailure(f"Valkey does not answer ({error}): check VALKEY_URL.") from error
        finally:
            connections.close_all()
        return links

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._ignore_signals()
        self.stopping = True
        raise Stopped

    def _ignore_signals(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
