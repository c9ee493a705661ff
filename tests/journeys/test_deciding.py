"""What decides besides one person's yes: a second person, what the wording may be, what it rests on, and a grant."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.integration.console.gateway import meta_of, text_of
from tests.journeys.conftest import PATIENCE, Installation, wait_until
from tests.journeys.test_gateway import Program
from tests.journeys.test_inbox import confirm, is_live

pytestmark = pytest.mark.timeout(240)
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]
BUREAU = """
agent: bureau
purpose: Lets another team's agent move money.
pattern: gateway
tools:
  - python: tests.journeys.tools.convert
  - python: tests.journeys.tools.pay
    checks:
      amount: {maximum: 100}
policy:
  - {effect: irreversible, then: require, approvers: 1, role: operator, expires: 1h}
"""


@pytest.fixture(scope="module")
def bureau(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program before a gateway to tools that move money."""
    file = tmp_path_factory.mktemp("bureau") / "bureau.yaml"
    file.write_text(BUREAU)
    installation.manage("agents", "apply", str(file))
    options = ("--user", "bureau-program", "--role", "service", "--agent", "bureau", "--scope", "mcp")
    with ThreadPoolExecutor(8) as threads:
        yield Program(installation.url, installation.manage("token", "create", *options), threads)


def asked(installation: Installation, account: str, number: int = 1) -> str:
    """The id of the newest request about this account, once there were so many."""
    query = "SELECT id::text FROM approvals_approval WHERE arguments ->> 'account' = %s ORDER BY requested_at DESC"
    wait_until(lambda: len(installation.sql(query, account)) >= number, seconds=60)
    return str(installation.sql(query, account)[0][0])


def approve(page: Page, request: str) -> None:
    page.goto(f"/inbox/{request}")
    is_live(page)
    page.keyboard.press("a")
    confirm(page)


@pytest.mark.req("APR-2", "APR-3")
def test_an_edit_is_checked_like_the_agents_own_wording(
    installation: Installation, open_as: OpenAs, bureau: Program
) -> None:
    account = f"edit-{uuid4().hex[:6]}"
    answer = bureau.call("pay", account=account, amount=40)
    page = open_as("ana", f"/inbox/{asked(installation, account)}")
    is_live(page)
    page.keyboard.press("e")
    page.get_by_label("amount").fill("500")
    preview = page.locator("#edit-preview")
    expect(preview).to_contain_text("Not yet as it can run")
    expect(preview).to_contain_text("100")
    page.get_by_label("I have checked what will happen").check()
    page.evaluate("document.querySelector('#edit-form').dataset.sent = 'yes'")
    page.get_by_role("button", name="Approve with these changes").click()
    expect(page.locator("#edit-form:not([data-sent])")).to_be_visible()  # it came back, with what is wrong
    expect(preview).to_contain_text("Not yet as it can run")
    assert not answer.done()
    page.get_by_label("amount").fill("60")
    expect(preview).to_contain_text(f"Pay 60 to {account}")
    page.get_by_label("I have checked what will happen").check()
    page.get_by_role("button", name="Approve with these changes").click()
    expect(page.locator("#notice")).to_contain_text("Approved with changes")
    told = answer.result(60)
    assert not told.is_error
    assert "amount from 40 to 60" in text_of(told)


@pytest.mark.req("APR-4", "APR-5")
def test_two_must_agree_and_who_asked_is_none_of_them(installation: Installation, open_as: OpenAs) -> None:
    token = installation.manage("token", "create", "--user", "ana", "--role", "operator", "--scope", "ask")
    headers = {"authorization": f"Bearer {token}"}
    body = {"tool": "pay", "arguments": {"amount": 40}, "effect": "irreversible"}
    answer = httpx.post(f"{installation.url}/api/v1/approvals", json=body, headers=headers, timeout=30)
    request = answer.json()["id"]
    installation.sql("UPDATE approvals_approval SET approvers = 2 WHERE id = %s RETURNING 1", request)
    ana = open_as("ana", f"/inbox/{request}")
    expect(ana.locator("#card")).to_contain_text("You asked for this yourself: somebody else must decide")
    expect(ana.locator("#decide button[type=submit]:visible")).to_have_count(0)
    refused = ana.evaluate(  # and not by a hand-made form either
        """async address => {
            const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
            const body = new URLSearchParams({ decision: "approve", digest: "", csrfmiddlewaretoken: token });
            return (await fetch(address, { method: "POST", body })).status;
        }""",
        f"/inbox/{request}/decision",
    )
    assert refused == 403
    ben = open_as("ben")
    approve(ben, request)
    expect(ben.locator("#notice")).to_contain_text("Your yes counts")
    status = "SELECT status FROM approvals_approval WHERE id = %s"
    assert installation.sql(status, request) == [("pending",)]
    ada = open_as("ada")
    approve(ada, request)
    expect(ada.locator("#notice")).to_contain_text("Approved")
    assert installation.sql(status, request) == [("approved",)]
    votes = (
        "SELECT u.username FROM approvals_vote v JOIN auth_user u ON u.id = v.user_id WHERE approval_id = %s"
    )
    assert sorted(name for (name,) in installation.sql(votes, request)) == ["ada", "ben"]


@pytest.mark.req("APR-2")
def test_what_changed_since_it_was_shown_is_asked_again_with_the_difference(
    installation: Installation, open_as: OpenAs, bureau: Program
) -> None:
    account = f"drift-{uuid4().hex[:6]}"
    rate = installation.home / "rate"
    rate.write_text("1.5")
    answer = bureau.call("convert", account=account)
    page = open_as("ana", f"/inbox/{asked(installation, account)}")
    is_live(page)
    rate.write_text("9.5")
    page.keyboard.press("a")
    confirm(page)
    expect(page.locator("#notice")).to_contain_text("Approved")
    again = asked(installation, account, 2)
    assert not answer.done()
    page.goto(f"/inbox/{again}")
    expect(page.locator("#card")).to_contain_text(re.compile(r"rate was .?1\.5.? and is .?9\.5.? now"))
    approve(page, again)
    expect(page.locator("#notice")).to_contain_text("Approved")
    told = answer.result(60)
    assert not told.is_error
    assert "9.5" in text_of(told)


@pytest.mark.req("APR-6")
def test_a_grant_covers_as_many_calls_as_it_says_and_then_people_are_asked_again(
    installation: Installation, open_as: OpenAs, bureau: Program
) -> None:
    account = f"grant-{uuid4().hex[:6]}"
    first = bureau.call("pay", account=account, amount=40)
    request = asked(installation, account)
    page = open_as("ana", f"/inbox/{request}/grant")
    page.get_by_label("at most", exact=True).fill("1")
    page.get_by_label(re.compile("also after the agent has read")).check()
    page.get_by_role("button", name="Allow it").click()
    expect(page.locator("#pane")).to_contain_text("need no decision for now")
    approve(page, request)
    assert not first.result(60).is_error
    covered = bureau.call("pay", account=account, amount=30).result(60)
    assert meta_of(covered)["gatehouse/status"] == "succeeded"
    page.goto("/grants")
    expect(page.locator("main")).to_contain_text("1 of 1 used up")
    third = bureau.call("pay", account=account, amount=20)
    again = asked(installation, account, 2)
    approve(page, again)
    expect(page.locator("#notice")).to_contain_text("Approved: Pay 20")
    assert not third.result(60).is_error
