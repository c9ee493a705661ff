"""A person in a real browser, in front of the real thing: `manage.py up` in a home of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from console import environment
from console.services.preflight import free_port

BROWSER_ARGUMENTS = [
    "--no-sandbox",  # in a container the browser runs as root, which it refuses otherwise
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]
TICKETS = environment.ROOT / "agents" / "examples" / "support" / "tickets.jsonl"
PATIENCE = 20_000  # ms that a page may take to show what it should


class Installation:
    """A running Gatehouse: what people open, what programs call, and what is in its database."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # What the tests' own settings put there would make `up` use the tests' services.
        ours = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE", "SECRET_KEY"}
        self.env = {name: value for name, value in os.environ.items() if name not in ours}
        self.env["GATEHOUSE_HOME"] = str(home)
        self.receiver_port = free_port()  # where a journey may listen for what people are told
        self.env["GATEHOUSE_EGRESS"] = f"https://*,http://127.0.0.1:{self.receiver_port}"

    def start(self) -> None:
        """Start everything; return once it answers."""
        self.output = self.home / "up.out"
        command = [*self._manage, "up", "--port", str(self.port), "--workers", "1"]
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, env=self.env, stdout=output, stderr=output)
        wait_until(lambda: "Ctrl-C" in self.said or self.process.poll() is not None, seconds=120)
        assert f"ready {self.url}\n" in self.said, self.said

    def stop(self) -> None:
        """Stop everything."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def _manage(self) -> list[str]:
        return [sys.executable, str(environment.ROOT / "manage.py")]

    def manage(self, *command: str) -> str:
        """Run a command beside it; what it printed."""
        done = subprocess.run(
            [*self._manage, *command], env=self.env, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    def link(self, name: str) -> str:
        """The one-time sign-in link that `up` printed for this person."""
        found = re.search(rf"\({name}\), once: (\S+)", self.said)
        assert found, self.said
        return found[1]

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Call the API as a program that may ask and start runs, never decide."""
        if not hasattr(self, "token"):
            self.token = self.manage("token", "create", "--user", "desk", "--role", "service")
        headers = {"authorization": f"Bearer {self.token}"}
        response = httpx.post(f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=30)
        assert response.status_code == 201, response.text
        return response.json()

    def open_ticket(self, number: str) -> Any:
        """Start a run of the support agent on one of the example's tickets; the run."""
        tickets = map(json.loads, TICKETS.read_text().splitlines())
        ticket = next(ticket for ticket in tickets if ticket["id"] == number)
        customer = ticket["customer_id"]
        text = f"Ticket {number} from Customer ({customer})\nSubject: {ticket['subject']}\n\n{ticket['text']}"
        return self.post("/runs", {"agent": "support", "input": text, "subject": {"customer_id": customer}})

    def ask(self, tool: str, **values: Any) -> Any:
        """Ask for approval as another program's agent; the approval."""
        return self.post("/approvals", {"tool": tool, "arguments": {}, "effect": "irreversible"} | values)

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the database says."""
        address = f"postgresql://postgres@/gatehouse?host={environment.socket_dir(self.home)}"
        with psycopg.connect(address) as connection:
            return connection.execute(query, values).fetchall()


def wait_until(done: Callable[[], bool], *, seconds: float) -> None:
    """Return once `done` says so; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """One installation for all journeys; a journey brings its own runs and requests, and looks for those."""
    home = Path(tempfile.mkdtemp(prefix="gatehouse-journey-"))
    installation = Installation(home)
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()
        shutil.rmtree(environment.socket_dir(home), ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or the one that Playwright brought.

    It is closed after the last journey: while it lives, its event loop counts as running in this thread, and
    no test after it could start one.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def signed_in(installation: Installation, browser: Browser) -> dict[str, Any]:
    """The cookies of each example person, by name: a link works once, its session for all journeys."""
    states = {}
    for name in ("ana", "ben", "amir", "ada"):
        context = browser.new_context()
        context.new_page().goto(installation.link(name))
        states[name] = context.storage_state()
        context.close()
    return states


@pytest.fixture
def open_as(
    installation: Installation, browser: Browser, signed_in: dict[str, Any]
) -> Iterator[Callable[..., Page]]:
    """Open a page as one of the example people; whatever goes wrong in its scripts fails the test.

    Options are those of a browser context, such as `viewport` and `color_scheme`.
    """
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(name: str, path: str = "/inbox", **options: Any) -> Page:
        context = browser.new_context(base_url=installation.url, storage_state=signed_in[name], **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: wrong.append(message.text) if "Content Security" in message.text else None,
        )
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
