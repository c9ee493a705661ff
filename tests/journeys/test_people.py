"""More than one person: who looks at what, who has it, who is told, and who stopped everything."""

import statistics
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import PATIENCE, Installation, wait_until
from tests.journeys.test_inbox import confirm, is_live
from tests.receivers import http_receiver

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]

# Notes in the page when a banner came to stand there.
NOTE_BANNERS = """
window.bannerAt = null;
new MutationObserver(() => {
  const stands = document.querySelector(".halt-banner") !== null;
  if (stands && window.bannerAt === null) window.bannerAt = Date.now();
  if (!stands) window.bannerAt = null;
}).observe(document.body, { childList: true, subtree: true });
"""


@pytest.mark.req("APR-4", "APR-7")
def test_two_people_on_one_card_know_of_each_other(installation: Installation, open_as: OpenAs) -> None:
    asked = installation.ask("close_account", arguments={"account": "P-1"})
    ana = open_as("ana", f"/inbox/{asked['id']}")
    is_live(ana)
    ben = open_as("ben", f"/inbox/{asked['id']}")
    is_live(ben)
    expect(ana.locator("#looking")).to_contain_text("ben is looking at this")
    expect(ben.locator("#looking")).to_contain_text("ana is looking at this")
    ana.get_by_role("button", name="I take this").click()
    expect(ana.locator("#held")).to_contain_text("You have this")
    expect(ben.locator("#held")).to_contain_text("ana has this")
    expect(ben.get_by_role("button", name="Take over from ana")).to_be_visible()
    ben.get_by_label("Comment for the others").fill("Half a thought")
    ana.keyboard.press("a")
    confirm(ana)
    expect(ana.locator("#notice")).to_contain_text("Approved")
    expect(ben.locator("#changed")).to_contain_text("It was approved by ana")
    expect(ben.locator("#decide .btn").first).to_be_hidden()
    expect(ben.get_by_label("Comment for the others")).to_have_value("Half a thought")
    expect(ben.locator("#timeline")).to_contain_text("ana approved it")
    expect(ben.locator("#looking")).not_to_contain_text("ana")


@pytest.mark.req("APR-11")
def test_an_emergency_stop_is_seen_on_an_open_page_within_a_second(
    installation: Installation, open_as: OpenAs
) -> None:
    ben = open_as("ben", "/runs")
    is_live(ben)
    ben.evaluate(NOTE_BANNERS)
    ana = open_as("ana", "/halt")
    took = []
    for number in range(3):
        ana.get_by_label("Why").fill(f"Drill {number}")
        ana.get_by_role("button", name="Stop", exact=True).click()
        expect(ben.locator(".halt-banner")).to_contain_text(f"Drill {number}")
        [[pressed]] = installation.sql(
            "SELECT extract(epoch FROM halted_at) * 1000 FROM approvals_halt WHERE lifted_at IS NULL"
        )
        took.append(ben.evaluate("window.bannerAt") - float(pressed))
        ana.get_by_role("button", name="Lift this stop").click()
        expect(ben.locator(".halt-banner")).to_have_count(0)
    assert statistics.median(took) < 1000, f"{took} ms"


@pytest.mark.req("APR-7", "APR-8")
def test_a_mention_reaches_who_is_mentioned_with_a_link_and_no_words(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("close_account", arguments={"account": "P-2"}, reason="Top secret reason.")
    with http_receiver(installation.receiver_port) as inbox:
        ben = open_as("ben", "/me")
        ben.get_by_text("Add a channel…").click()
        ben.get_by_label("Name", exact=True).fill("Ben's hook")
        ben.get_by_label("Address").fill(inbox.address)
        ben.get_by_role("group", name="What to tell").get_by_label("a request of high risk waits").uncheck()
        ben.get_by_role("button", name="Add", exact=True).first.click()
        ben.get_by_role("link", name="Ben's hook").click()
        ben.get_by_role("button", name="Send a test").click()
        expect(ben.locator(".notice-success")).to_contain_text("The test was sent")
        assert "Gatehouse: a test" in [each["title"] for each in inbox.got]

        ana = open_as("ana", f"/inbox/{asked['id']}")
        is_live(ana)
        ana.get_by_label("Comment for the others").fill("@ben is this the old contract?")
        ana.get_by_role("button", name="Comment", exact=True).click()
        expect(ana.locator("#timeline")).to_contain_text("is this the old contract?")

        def mentions() -> list[dict[str, str]]:  # what other journeys do is told him, too
            return [each for each in inbox.got if each["title"] == "Gatehouse: ana mentioned you"]

        wait_until(lambda: bool(mentions()), seconds=20)
        [message] = mentions()
        assert "contract" not in str(message)
        assert "secret" not in str(message)
        expect(ana.locator("#timeline")).to_contain_text("ben was told by Ben's hook")
        link = message["message"].splitlines()[-1]
        ben.goto(link)
        expect(ben.locator("#timeline")).to_contain_text("is this the old contract?")
        [[status]] = installation.sql("SELECT status FROM approvals_approval WHERE id = %s", asked["id"])
        assert status == "pending"
