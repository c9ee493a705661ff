"""Another program's agent comes through the gateway, and people stay in charge of what it does."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult
from playwright.sync_api import Page, expect

from console import environment
from tests.integration.console.gateway import client, meta_of, text_of
from tests.journeys.conftest import PATIENCE, Installation, wait_until
from tests.journeys.test_inbox import is_live

pytestmark = [pytest.mark.timeout(180), pytest.mark.req("APR-10")]
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]
WAIT = 100  # s that the clients wait for a person
TILL = """
agent: till
purpose: Lets another team's agent pay refunds.
pattern: gateway
tools:
  - python: agents.examples.support.tools.get_order
  - python: agents.examples.support.tools.issue_refund
  - python: agents.examples.support.tools.add_crm_note
policy:
  - {tool: add_crm_note, then: allow}
  - {tool: issue_refund, when: "arguments.amount > 40.0", then: require, approvers: 1, role: operator, expires: 3s}
  - {tool: issue_refund, then: require, approvers: 1, role: operator, expires: 1h}
"""


class Program:
    """Somebody else's program with a real MCP client, beside the browser that the test drives."""

    def __init__(self, url: str, token: str, threads: ThreadPoolExecutor) -> None:
        self.url, self.token, self._threads = url, token, threads

    def call(self, tool: str, **arguments: Any) -> Future[CallToolResult]:
        """One call, which goes on while the test does something else."""

        async def work(it: Client) -> CallToolResult:
            meta: Any = {"gatehouse/reason": "The customer was promised it."}
            result = await it.call_tool(tool, arguments, meta=meta)
            assert isinstance(result, CallToolResult)
            return result

        return self._threads.submit(asyncio.run, self._with(work))

    async def _with(self, work: Callable[[Client], Any]) -> Any:
        async with client(self.url, self.token, Prefer=f"wait={WAIT}") as connected:
            return await work(connected)


@pytest.fixture(scope="module")
def program(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program with a token of the agent `till`."""
    file = tmp_path_factory.mktemp("till") / "till.yaml"
    file.write_text(TILL)
    installation.manage("agents", "apply", str(file))
    options = ("--user", "other-team", "--role", "service", "--agent", "till")
    token = installation.manage("token", "create", *options)
    with ThreadPoolExecutor(60) as threads:
        yield Program(installation.url, token, threads)


@pytest.fixture(scope="module")
def orders(installation: Installation) -> Iterator[str]:
    """Orders that were paid in EUR and of which nothing was paid back."""
    rows = installation.sql(
        "SELECT id FROM support_order o WHERE status = 'delivered' AND currency = 'EUR' AND paid > 60 AND NOT EXISTS"
        " (SELECT 1 FROM support_ledgerentry WHERE order_id = o.id AND kind = 'refund') ORDER BY id DESC"
    )
    return iter([row[0] for row in rows])


def card_of(page: Page, order: str) -> None:
    """Open the request about this order from the queue, once it is there."""
    is_live(page)
    page.locator("#queue .row-link", has_text=order).press("Enter")
    expect(page.locator("#card-title")).to_contain_text(order)


def refunds(installation: Installation, order: str) -> list[Any]:
    """What was paid back for it."""
    query = "SELECT amount FROM support_ledgerentry WHERE order_id = %s AND kind = 'refund'"
    return [float(row[0]) for row in installation.sql(query, order)]


def test_an_operator_edits_and_approves_and_the_program_is_told(
    installation: Installation, open_as: OpenAs, program: Program, orders: Iterator[str]
) -> None:
    order = next(orders)
    read = program.call("get_order", order_id=order).result(30)
    assert not read.is_error
    page = open_as("ana")
    answer = program.call("issue_refund", order_id=order, amount=30, reason="A broken lid")

    card_of(page, order)
    expect(page.locator("#card")).to_contain_text("other-team")
    expect(page.locator("#card")).to_contain_text("The customer was promised it.")
    page.keyboard.press("e")
    page.get_by_label("amount").fill("12.5")
    expect(page.locator("#edit-preview")).to_contain_text("EUR 12.50")
    confirm = page.get_by_label("I have checked what will happen")
    if confirm.count():
        confirm.check()
    page.get_by_role("button", name="Approve with these changes").click()
    expect(page.locator("#notice")).to_contain_text("Approved with changes")

    told = answer.result(60)
    assert not told.is_error
    assert "amount from 30 to 12.5 before approving" in text_of(told)
    assert refunds(installation, order) == [12.5]
    page.goto(meta_of(told)["gatehouse/url"].replace(installation.url, ""))
    expect(page.locator("main")).to_contain_text("other-team")
    expect(page.locator("main")).to_contain_text("no model took part here")


def test_rejected_and_expired_are_told_apart(
    installation: Installation, open_as: OpenAs, program: Program, orders: Iterator[str]
) -> None:
    first, second = next(orders), next(orders)
    page = open_as("ana")
    rejected = program.call("issue_refund", order_id=first, amount=20, reason="It is late")
    expired = program.call("issue_refund", order_id=second, amount=50, reason="It is lost")

    card_of(page, first)
    page.keyboard.press("r")
    page.get_by_label("Why? The agent is told.").fill("It came in time.")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("Rejected")

    no, late = rejected.result(60), expired.result(60)
    assert (no.is_error, late.is_error) == (True, True)
    assert [meta_of(each)["gatehouse/status"] for each in (no, late)] == ["denied", "expired"]
    assert "It came in time." in text_of(no)
    assert refunds(installation, first) == refunds(installation, second) == []


def test_a_program_that_is_killed_while_it_waits_gets_its_result_when_it_comes_again(
    installation: Installation, open_as: OpenAs, program: Program, orders: Iterator[str]
) -> None:
    order = next(orders)
    arguments = {"order_id": order, "amount": 15, "reason": "A lost lid"}
    script = (
        "import json, sys; from tests.integration.console.gateway import call; "
        "call(sys.argv[1], sys.argv[2], 'issue_refund', **json.loads(sys.argv[3]))"
    )
    command = [sys.executable, "-c", script, program.url, program.token, json.dumps(arguments)]
    doomed = subprocess.Popen(command, cwd=environment.ROOT, env=os.environ)
    page = open_as("ana")
    card_of(page, order)
    doomed.send_signal(signal.SIGKILL)
    assert doomed.wait(30) == -signal.SIGKILL
    page.keyboard.press("a")
    yes = page.get_by_role("button", name="Yes, do exactly this")
    expect(yes).to_be_enabled()
    yes.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Approved")
    wait_until(lambda: refunds(installation, order) == [15], seconds=30)

    told = program.call("issue_refund", **arguments).result(60)

    assert meta_of(told)["gatehouse/status"] == "succeeded"
    assert re.search(r"RF-\d+", text_of(told))
    assert refunds(installation, order) == [15]


def test_fifty_programs_at_once(installation: Installation, program: Program, orders: Iterator[str]) -> None:
    ((customer,),) = installation.sql("SELECT customer_id FROM support_order WHERE id = %s", next(orders))
    texts = {f"Note {number} of fifty" for number in range(50)}
    under_way = [program.call("add_crm_note", customer_id=customer, text=text) for text in texts]

    results = [each.result(90) for each in under_way]

    assert [text_of(each) for each in results if each.is_error] == []
    noted = installation.sql("SELECT text FROM support_crmnote WHERE text LIKE 'Note %% of fifty'")
    assert sorted(row[0] for row in noted) == sorted(texts)
