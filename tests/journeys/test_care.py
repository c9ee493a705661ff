"""What helps to decide with care: how the like was decided, and tests that show whether people look."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import PATIENCE, Installation, wait_until

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]

PLAN = """
from django.utils import timezone
from approvals.canaries import plant
from approvals.models import CanaryPlan
plan = CanaryPlan.objects.create(
    agent="support", tool="issue_refund", title="Refund EUR 129000.00 to nobody for order O-0000",
    task="Refund 12.90 EUR for O-1042.", arguments={"order_id": "O-0000", "amount": 129000.0},
    reason="The customer seemed nice.", wrong="The order does not exist, and the amount is ten thousand times what was asked.",
)
print(plant(plan, now=timezone.now()).pk)
"""


@pytest.mark.req("APR-2")
def test_a_card_tells_how_calls_like_it_were_decided(installation: Installation, open_as: OpenAs) -> None:
    page = open_as("ana", "/inbox")
    for account, amount, word in (("Acme", 40, "approve"), ("Globex", 55, "approve"), ("Acme", 60, "reject")):
        asked = installation.ask("settle_invoice", arguments={"account": account, "amount": amount})
        page.goto(f"/inbox/{asked['id']}")
        page.keyboard.press("a" if word == "approve" else "r")
        if word == "approve":
            yes = page.get_by_role("button", name="Yes, do exactly this")
            expect(yes).to_be_enabled()
            yes.press("Enter")
        else:
            page.get_by_label("Why? The agent is told.").fill("That was paid on Monday.")
            page.get_by_role("button", name="Reject", exact=True).click()
        expect(page.locator("#notice")).to_contain_text("Let desk call settle_invoice")
    kept = "SELECT count(*) FROM agents_precedent WHERE tool = 'settle_invoice' AND decided_at IS NOT NULL"
    wait_until(lambda: installation.sql(kept) == [(3,)], seconds=20)  # a worker makes the vectors
    asked = installation.ask("settle_invoice", arguments={"account": "Acme", "amount": 58})
    page.goto(f"/inbox/{asked['id']}")
    before = page.get_by_role("region", name="Calls like this before")
    expect(before).to_contain_text("2 of 3 like this were approved.")
    expect(before).to_contain_text("Rejected by ana")
    expect(before).to_contain_text("That was paid on Monday.")
    expect(before).to_contain_text("amount 60 then, 58 now")
    before.get_by_role("link").first.click()
    expect(page.get_by_label("Outcome")).to_contain_text("by ana")


@pytest.mark.req("APR-2", "TRC-6")
def test_who_lets_a_planted_test_through_is_told_at_once(installation: Installation, open_as: OpenAs) -> None:
    planted = installation.manage("shell", "--no-imports", "--command", PLAN).split()[-1]
    page = open_as("ben", f"/inbox/{planted}")
    expect(page.locator("#card-title")).to_have_text("Refund EUR 129000.00 to nobody for order O-0000")
    expect(page.locator("main")).not_to_contain_text("test, planted")
    page.keyboard.press("a")
    yes = page.get_by_role("button", name="Yes, do exactly this")
    expect(yes).to_be_enabled()
    yes.press("Enter")
    notice = page.locator("#notice")
    expect(notice).to_contain_text(
        "This was a test, planted by Gatehouse: there is no call that could have run."
    )
    expect(notice).to_contain_text("ten thousand times what was asked. You let it through.")
    assert installation.sql("SELECT result FROM approvals_canary WHERE approval_id = %s", planted) == [
        ("missed",)
    ]
    page.goto("/figures")
    expect(page.locator("main")).to_contain_text("0 caught, 1 missed")
    expect(page.locator("main")).to_contain_text("Your own figures.")
