"""What operators feel of the inbox beside deciding: a second factor, what is masked."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.conftest import PATIENCE, Installation
from tests.journeys.test_gateway import Program, card_of
from tests.journeys.test_inbox import confirm, is_live

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]
VAULT = """
agent: vault
purpose: Pays refunds that take a second factor.
pattern: gateway
tools:
  - python: agents.examples.support.tools.issue_refund
  - python: agents.examples.support.tools.add_crm_note
policy:
  - {tool: add_crm_note, then: mask, mask: [text]}
  - {tool: add_crm_note, then: require}
  - {tool: issue_refund, then: require, step_up: true}
"""


@pytest.fixture(scope="module")
def vault(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A program with a token of the agent `vault`."""
    file: Path = tmp_path_factory.mktemp("vault") / "vault.yaml"
    file.write_text(VAULT)
    installation.manage("agents", "apply", str(file))
    options = ("--user", "vault-team", "--role", "service", "--agent", "vault")
    token = installation.manage("token", "create", *options)
    with ThreadPoolExecutor(4) as threads:
        yield Program(installation.url, token, threads)


@pytest.mark.req("OPS-3", "APR-5")
def test_a_risky_card_is_approved_with_the_code_of_a_phone(
    installation: Installation, open_as: OpenAs, browser: Browser, vault: Program
) -> None:
    order = installation.sql(
        "SELECT id FROM support_order o WHERE status = 'delivered' AND currency = 'EUR' AND paid > 60 AND NOT EXISTS"
        " (SELECT 1 FROM support_ledgerentry WHERE order_id = o.id AND kind = 'refund') ORDER BY id LIMIT 1"
    )[0][0]
    answer = vault.call("issue_refund", order_id=order, amount=1.25, reason="A scratch")
    page = open_as("ben")
    card_of(page, order)
    page.keyboard.press("a")
    expect(page.locator("#decide")).to_contain_text("you have none")
    expect(page.get_by_role("button", name="Yes, do exactly this")).to_have_count(0)

    # Set up in another session: that proves nothing in this one.
    phone = browser.new_context(base_url=installation.url).new_page()
    phone.goto(installation.manage("sign_in_link", "ben"))
    phone.goto("/me/second-factor")
    phone.get_by_role("button", name="Set it up").click()
    expect(phone.locator("svg.qr")).to_be_visible()
    totp = pyotp.TOTP(phone.locator("code.secret").inner_text().replace(" ", ""))
    phone.get_by_label("Code").fill(totp.now())
    phone.get_by_role("button", name="Confirm").click()
    spare = phone.locator(".codes code").first.inner_text()
    phone.context.close()

    page.reload()
    is_live(page)
    page.keyboard.press("a")
    code = page.get_by_label("Second factor")
    code.fill("000000")
    confirm(page)
    expect(page.locator("#problem")).to_contain_text("This code is wrong")
    page.get_by_label("Second factor").fill(spare)
    confirm(page)
    expect(page.locator("#notice")).to_contain_text("Approved")
    assert not answer.result(60).is_error
    said = installation.sql(
        "SELECT data->>'stepped_up' FROM traces_event WHERE name = 'approval.approved' AND actor = 'user:ben'"
        " ORDER BY id DESC LIMIT 1"
    )
    assert said == [("true",)]


@pytest.mark.req("APR-5", "OPS-4")
def test_a_masked_argument_is_nowhere_in_the_browser_of_who_may_not_see_it(
    installation: Installation, open_as: OpenAs, vault: Program
) -> None:
    customer = installation.sql("SELECT id FROM support_customer ORDER BY id LIMIT 1")[0][0]
    answer = vault.call("add_crm_note", customer_id=customer, text="Calls from 0171-5550199 only")
    page = open_as("ana")
    row = page.locator("#queue .row-link", has_text="vault").first
    row.press("Enter")
    expect(page.locator("#card")).to_contain_text("Masked by the rule: add_crm_note: mask text")
    expect(page.locator("#card")).to_contain_text(customer)
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    card = page.url.removeprefix(installation.url)
    run = page.get_by_role("link", name="open the run").get_attribute("href")
    assert run
    for path in ("/inbox", card, run, run.replace("/runs/", "/traces/").replace("-", "")):
        page.goto(path)
        is_live(page)
        assert "5550199" not in page.content()
        assert "5550199" not in page.request.get(path).text()

    admin = open_as("ada", card)
    is_live(admin)
    expect(admin.locator("#card")).to_contain_text("0171-5550199")
    admin.get_by_role("button", name="Approve", exact=True).click()
    expect(admin.locator("#notice")).to_contain_text("Approved")
    assert not answer.result(60).is_error
