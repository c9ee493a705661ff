"""Starting a run by hand, watching it to its end, and looking into its trace."""

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.journeys.conftest import PATIENCE, TICKETS, Installation

Open = Callable[..., Page]


@pytest.fixture(autouse=True)
def patience() -> None:
    expect.set_options(timeout=PATIENCE)


def ticket(number: str) -> dict[str, Any]:
    tickets = map(json.loads, TICKETS.read_text().splitlines())
    return next(found for found in tickets if found["id"] == number)


def start_by_hand(page: Page, number: str) -> str:
    """Fill in the form with one of the example's tickets; the id of the run."""
    found = ticket(number)
    page.goto("/runs")
    page.get_by_role("link", name="Start a run").click()
    page.get_by_label("Agent").select_option("support")
    page.get_by_label("What it should do").fill(
        f"Ticket {number} from Customer ({found['customer_id']})\nSubject: {found['subject']}\n\n{found['text']}"
    )
    page.get_by_label("For whom").fill(found["customer_id"])
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    return page.url.rpartition("/")[2]


def approve(installation: Installation, run_id: str) -> None:
    """Approve what the run waits for, as ana from a script."""
    token = installation.manage("token", "create", "--user", "ana", "--role", "operator", "--scope", "decide")
    with httpx.Client(
        base_url=f"{installation.url}/api/v1", headers={"authorization": f"Bearer {token}"}
    ) as api:
        waiting = api.get("/approvals", params={"status": "pending", "run": run_id}).json()["items"]
        assert len(waiting) == 1
        sent = {"decision": "approve", "digest": waiting[0]["digest"]}
        api.post(f"/approvals/{waiting[0]['id']}/decision", json=sent).raise_for_status()


def shown_steps(page: Page) -> list[int]:
    return [int(step.get_attribute("data-seq") or -1) for step in page.locator("#steps > li").all()]


@pytest.mark.req("RUN-8", "TRC-1", "TRC-2")
def test_a_run_is_started_by_hand_and_watched_to_its_end_without_reload(
    installation: Installation, open_as: Open
) -> None:
    page = open_as("ben")
    run_id = start_by_hand(page, "T-1012")
    page.evaluate("window.sameDocument = true")
    head = page.locator("#run-head")
    expect(head.get_by_role("heading", level=1)).to_have_text("Waits for a decision")
    expect(page.locator("#steps")).to_contain_text("Decide in the inbox")
    arguments = page.locator("#steps li:last-child details").filter(has_text="Arguments")
    arguments.locator("summary").click()

    approve(installation, run_id)

    expect(head.get_by_role("heading", level=1)).to_have_text("Completed")
    expect(page.locator("#steps")).to_contain_text("Approved by ana (by token)")
    expect(page.locator("#steps > li:last-child")).to_contain_text("Checked its work")
    steps = shown_steps(page)
    assert steps == list(range(steps[0], steps[0] + len(steps)))
    assert page.locator("#steps details[open]").count() == 1, "what was unfolded stays unfolded"
    assert page.evaluate("window.sameDocument")
    assert head.get_by_role("link", name="Cancel").count() == 0

    page.get_by_role("link", name="Every call, with times and costs").click()
    expect(page.get_by_text("Wait for a person")).to_be_visible()
    expect(page.locator("#waterfall .totals")).to_contain_text("simulated")
    row = page.locator("details.span", has_text="Take a turn").first
    row.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(row.get_by_role("heading", name="Input")).to_be_visible()
    page.wait_for_url(re.compile(r"\?span=[0-9a-f]{16}$"))
    page.reload()
    expect(page.locator("details.span[open]")).to_have_count(1)
    expect(page.locator("details.span[open]").get_by_role("heading", name="Output")).to_be_visible()
    page.get_by_role("link", name="The run, step by step").click()
    page.wait_for_url(re.compile(run_id))


@pytest.mark.req("RUN-8", "OPS-2")
def test_after_a_lost_connection_a_page_has_every_step_once(
    installation: Installation, open_as: Open
) -> None:
    page = open_as("ben")
    sockets: list[WebSocketRoute] = []
    lost = False

    def route(socket: WebSocketRoute) -> None:
        if lost:
            socket.close(code=1012)
        else:
            socket.connect_to_server()
            sockets.append(socket)

    page.route_web_socket("**/ws/feed", route)
    run_id = start_by_hand(page, "T-1016")
    expect(page.locator("#run-head")).to_contain_text("Waits for a decision")
    before = shown_steps(page)

    lost = True
    sockets[-1].close(code=1012)
    expect(page.locator("#connection")).to_contain_text("Not live")
    approve(installation, run_id)
    while installation.sql("select status from agents_run where id = %s", run_id) != [("completed",)]:
        page.wait_for_timeout(100)
    assert shown_steps(page) == before

    lost = False
    expect(page.locator("#run-head")).to_contain_text("Completed")
    expect(page.locator("#connection")).to_contain_text("Live")
    stored = installation.sql("select seq from agents_step where run_id = %s order by seq", run_id)
    expect(page.locator("#steps > li")).to_have_count(len(stored))
    assert shown_steps(page) == [seq for (seq,) in stored]
    assert len(stored) > len(before)


@pytest.mark.req("RUN-8")
def test_the_list_hears_of_a_new_run_and_a_run_is_cancelled(
    installation: Installation, open_as: Open
) -> None:
    page = open_as("ana", "/runs")
    expect(page.locator("#connection")).to_contain_text("Live")
    page.evaluate("window.sameDocument = true")
    run_id = installation.open_ticket("T-1011")["id"]
    line = page.locator(f"#run-{run_id}")
    expect(line).to_contain_text("1 to decide")
    assert page.evaluate("window.sameDocument")
    line.locator(".row-title a").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_label("Why").fill("solved by phone")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("#run-head").get_by_role("heading", level=1)).to_have_text("Cancelled")
    expect(page.locator("#steps")).to_contain_text("Cancelled, not done")
