"""What the agent is writing appears on the run's page as it comes, as text, and goes when it failed."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import PATIENCE, Installation

SEND = "from traces import feed; import time; {calls}; time.sleep(0.5)"
WAITS = "T-1005"  # for a person, so that its page stays open for words
HOSTILE = "<b id=bold>Hello</b> \u202eolleh"


def publish(installation: Installation, run: str, *messages: dict[str, Any]) -> None:
    """Say something to the run's pages from another process, as a worker does."""
    calls = "; ".join(f"feed.publish_text({run!r}, **{message!r})" for message in messages)
    installation.manage("shell", "--no-imports", "-v", "0", "-c", SEND.format(calls=calls))


@pytest.mark.req("MOD-8")
def test_words_appear_as_they_come_and_go_when_the_attempt_failed(
    installation: Installation, open_as: Callable[..., Page]
) -> None:
    expect.set_options(timeout=PATIENCE)
    run = installation.open_ticket(WAITS)["id"]
    ana = open_as("ana", f"/runs/{run}")
    draft = ana.locator("#draft")
    expect(draft).to_be_hidden()
    publish(
        installation,
        run,
        {"step": 99, "attempt": "a", "start": 0, "text": "I look "},
        {"step": 99, "attempt": "a", "start": 7, "text": HOSTILE},
    )
    expect(draft.locator(".agent-words")).to_have_text("I look <b id=bold>Hello</b> \u25a1olleh")
    expect(ana.locator("#bold")).to_have_count(0)
    publish(installation, run, {"step": 99, "attempt": "a", "start": 0, "text": None})
    expect(draft).to_be_hidden()
