"""The inbox as its operators live it."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.journeys.conftest import PATIENCE, Installation, wait_until

pytestmark = pytest.mark.timeout(180)
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]
PHONE = {"width": 360, "height": 740}


def is_live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")


def confirm(page: Page) -> None:
    """Press the button of the second step with the keyboard, once it has rested."""
    yes = page.get_by_role("button", name="Yes, do exactly this")
    expect(yes).to_be_enabled()
    yes.press("Enter")


@pytest.mark.req("AGT-1", "AGT-2", "APR-2", "APR-3", "APR-4", "RUN-1")
def test_a_refund_arrives_is_edited_down_approved_by_keyboard_and_paid_once(
    installation: Installation, open_as: OpenAs
) -> None:
    page = open_as("ana")
    is_live(page)
    page.evaluate("window.sameDocument = true")
    run = installation.open_ticket("T-1006")
    arrived = page.locator("#queue .row-link", has_text="Refund SEK 1290.00 to Astrid Lindqvist")
    expect(arrived).to_be_visible()
    assert page.evaluate("window.sameDocument"), "it arrived without a reload"

    arrived.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#card-title")).to_be_focused()
    expect(page.locator("#card-title")).to_have_text(
        "Refund SEK 1290.00 to Astrid Lindqvist for order O-1095"
    )
    page.keyboard.press("e")
    amount = page.get_by_label("amount")
    amount.press("ControlOrMeta+a")
    amount.press_sequentially("1000.50")
    preview = page.locator("#edit-preview")
    expect(preview).to_contain_text("Refund SEK 1000.50 to Astrid Lindqvist")
    expect(preview.locator("tr", has_text="amount").first).to_contain_text("1000.5")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    approve = page.get_by_role("button", name="Approve with these changes")
    expect(approve).to_be_focused()
    expect(approve).to_be_enabled()
    page.keyboard.press("a")
    expect(page.locator("#edit-form")).to_be_visible()  # high risk: the box must be ticked first
    page.get_by_label("I have checked what will happen").press("Space")
    approve.press("Enter")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Approved with changes: Refund SEK 1000.50 to Astrid Lindqvist")
    expect(arrived).to_have_count(0)

    notice.get_by_role("link", name="Refund SEK 1000.50").click()
    outcome = page.get_by_label("Outcome")
    expect(outcome).to_contain_text("Approved by ana")
    expect(outcome).to_contain_text("The call: succeeded")
    page.locator("#queue .row-link", has_text="E-mail Astrid Lindqvist").press("Enter")
    expect(page.locator("#card")).to_contain_text("This mail goes to Astrid Lindqvist")
    page.keyboard.press("a")
    confirm(page)
    expect(notice).to_contain_text("Approved: E-mail Astrid Lindqvist")
    notice.get_by_role("link", name="E-mail Astrid Lindqvist").click()
    expect(outcome).to_contain_text("The run: completed")

    paid = installation.sql(
        "SELECT amount, currency FROM support_ledgerentry WHERE run_id = %s AND kind = 'refund'", run["id"]
    )
    assert paid == [(Decimal("1000.50"), "SEK")]
    outcome.get_by_role("link", name="Open the run").click()
    expect(page.locator("main")).to_contain_text("completed", ignore_case=True)


@pytest.mark.req("APR-4")
def test_two_operators_on_one_card_give_one_decision_and_one_clear_message(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("close_account", arguments={"account": "A-1"})
    ana, ben = (open_as(name, f"/inbox/{asked['id']}") for name in ("ana", "ben"))
    for page in (ana, ben):
        is_live(page)
    ben.keyboard.press("r")
    ben.get_by_label("Why? The agent is told.").fill("Not before the last invoice.")
    # Ben's page can't learn of the decision before he sends his own.
    ben.route("**/changed?*", lambda route: route.abort())
    ana.keyboard.press("a")
    confirm(ana)
    expect(ana.locator("#notice")).to_contain_text("Approved")
    ben.get_by_role("button", name="Reject", exact=True).click()
    expect(ben.locator("#problem")).to_contain_text("This was approved by ana at")
    expect(ben.locator("#problem")).to_contain_text("Your decision was not taken")
    expect(ben.get_by_label("Outcome")).to_contain_text("Approved by ana")
    decisions = installation.sql("SELECT verdict FROM approvals_decision WHERE approval_id = %s", asked["id"])
    assert decisions == [("approve",)]


@pytest.mark.req("APR-2", "APR-4")
def test_what_a_person_is_writing_is_left_alone_when_somebody_else_decides(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("rename_account", arguments={"account": "A-2", "name": "Old name"})
    ana = open_as("ana", f"/inbox/{asked['id']}/edit")
    is_live(ana)
    ana.locator("#f-name").fill("A better name")
    ben = open_as("ben", f"/inbox/{asked['id']}")
    ben.keyboard.press("r")
    ben.get_by_label("Why? The agent is told.").fill("It has the right name.")
    ben.get_by_role("button", name="Reject", exact=True).click()
    expect(ben.locator("#notice")).to_contain_text("Rejected")
    expect(ana.locator("#changed")).to_contain_text("It was denied by ben")
    expect(ana.locator("#f-name")).to_have_value("A better name")
    expect(ana.get_by_role("button", name="Approve with these changes")).to_be_hidden()
    ana.get_by_role("link", name="Show it as it is now").click()
    expect(ana.get_by_label("Outcome")).to_contain_text("It has the right name.")


@pytest.mark.req("OPS-4")
def test_hostile_text_is_shown_as_text_and_does_nothing(installation: Installation, open_as: OpenAs) -> None:
    hostile = '<script>document.title = "owned"</script><img src=x onerror="document.title = \'owned\'">'
    asked = installation.ask(
        "send_letter",
        arguments={
            "text": hostile,
            "name": "\u202eevil",
            "<b>key</b>": '{{ 7 * 7 }}" onfocus="alert(1)" autofocus="',
        },
        reason=f'{hostile}<form action="/halt" hx-post="/halt" hx-trigger="load"></form>',
    )
    page = open_as("ana", f"/inbox/{asked['id']}")
    is_live(page)
    card = page.locator("#card")
    expect(card).to_contain_text('<script>document.title = "owned"</script>')
    expect(card).to_contain_text("U+202Eevil")
    expect(card).to_contain_text("{{ 7 * 7 }}")
    page.keyboard.press("e")
    expect(page.locator("#edit-form")).to_be_visible()
    assert page.locator("main img, main script, main b, main [onfocus]").count() == 0
    assert "owned" not in page.title()
    assert installation.sql("SELECT count(*) FROM approvals_halt") == [(0,)]


@pytest.mark.req("APR-3", "OPS-5")
def test_a_request_is_rejected_with_a_reason_by_keyboard_alone(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("wire_money", arguments={"amount": 5})
    page = open_as("ana")
    is_live(page)
    wanted = page.locator(f'#queue a[href="/inbox/{asked["id"]}"]')
    expect(wanted).to_be_visible()
    for _ in range(page.locator("#queue .row-link").count()):
        page.keyboard.press("j")
        if wanted.evaluate("row => row === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("#card-title")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.type("a reason with j, k and a in it")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    reject = page.get_by_role("button", name="Reject", exact=True)
    expect(reject).to_be_focused()
    expect(reject).to_be_enabled()
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Rejected")
    decided = installation.sql(
        "SELECT verdict, reason FROM approvals_decision WHERE approval_id = %s", asked["id"]
    )
    assert decided == [("reject", "a reason with j, k and a in it")]


@pytest.mark.req("APR-2", "OPS-5")
def test_nothing_high_risk_is_approved_by_a_single_key(installation: Installation, open_as: OpenAs) -> None:
    asked = installation.ask("wire_money", arguments={"amount": 6})
    page = open_as("ana", f"/inbox/{asked['id']}")
    is_live(page)
    for key in ("a", "a", "a", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Yes, do exactly this")).to_be_visible()
    assert installation.sql("SELECT status FROM approvals_approval WHERE id = %s", asked["id"]) == [
        ("pending",)
    ]
    confirm(page)
    expect(page.locator("#notice")).to_contain_text("Approved")


def approved(installation: Installation, *asked: Any) -> list[bool]:
    """Which of these the database holds as approved."""
    rows = dict(
        installation.sql(
            "SELECT id::text, status FROM approvals_approval WHERE id::text = ANY(%s)",
            [one["id"] for one in asked],
        )
    )
    return [rows[one["id"]] == "approved" for one in asked]


def press_at(page: Page, button: Locator, *, gap: int | None) -> None:
    """Two presses at the very same place: a double click, or two clicks `gap` ms apart."""
    button.scroll_into_view_if_needed()
    expect(button).to_be_enabled()
    box = button.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    if gap is None:
        page.mouse.dblclick(x, y)
        return
    page.mouse.click(x, y)
    page.wait_for_timeout(gap)  # what is tested is the time between
    page.mouse.click(x, y)


TWICE = pytest.mark.parametrize("gap", [None, 150, 250])


@TWICE
@pytest.mark.req("APR-2", "OPS-5")
@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_two_quick_presses_never_approve_something_of_high_risk(
    installation: Installation, open_as: OpenAs, gap: int | None, size: dict[str, int]
) -> None:
    asked = installation.ask("wire_money", arguments={"amount": 8})
    page = open_as("ana", f"/inbox/{asked['id']}", viewport=size)
    is_live(page)
    press_at(page, page.locator("#pane summary", has_text="Approve…"), gap=gap)
    yes = page.get_by_role("button", name="Yes, do exactly this")
    expect(yes).to_be_visible()
    assert approved(installation, asked) == [False]
    yes.click()  # once it has rested
    expect(page.locator("#notice")).to_contain_text("Approved")
    assert approved(installation, asked) == [True]


@TWICE
@pytest.mark.req("APR-2", "APR-4", "OPS-5")
def test_two_quick_presses_approve_one_request_and_not_the_next(
    installation: Installation, open_as: OpenAs, gap: int | None
) -> None:
    # What other journeys left open would come between the two.
    pending = "UPDATE approvals_approval SET expires_at = now() WHERE status = 'pending' RETURNING id"
    wait_until(lambda: installation.sql(pending) == [], seconds=60)
    asked = [
        installation.ask("rename", arguments={"account": name}, effect="reversible")
        for name in ("A-8", "A-9")
    ]
    page = open_as("ana", f"/inbox/{asked[0]['id']}")
    is_live(page)
    press_at(page, page.get_by_role("button", name="Approve", exact=True), gap=gap)
    expect(page.locator("#notice")).to_contain_text("Approved")
    expect(page.locator("#card")).to_have_attribute("data-id", asked[1]["id"])
    following = page.get_by_role("button", name="Approve", exact=True)
    expect(following).to_be_enabled()
    assert approved(installation, *asked) == [True, False]
    following.click()
    expect(page.locator("#notice")).to_contain_text("Approved")
    expect(page.locator("#card")).to_have_count(0)
    assert approved(installation, *asked) == [True, True]


@pytest.mark.req("OPS-5")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_list_and_card_without_sideways_scrolling(
    installation: Installation, open_as: OpenAs, scheme: str
) -> None:
    asked = installation.ask(
        "long_words", arguments={"word": "x" * 400, "list": list(range(60))}, reason="y" * 400
    )
    page = open_as("ana", "/inbox", viewport=PHONE, color_scheme=scheme)
    is_live(page)
    expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    expect(page.locator("#pane")).to_be_hidden()
    page.locator(f'#queue a[href="/inbox/{asked["id"]}"]').click()
    expect(page.locator("#card")).to_be_visible()
    expect(page.locator("#queue")).to_be_hidden()
    assert page.evaluate(fits)
    page.get_by_role("link", name="Edit…").click()
    expect(page.locator("#edit-form")).to_be_visible()
    assert page.evaluate(fits)
    page.go_back()
    expect(page.locator("#queue")).to_be_visible()


@pytest.mark.req("APR-2", "OPS-5")
def test_a_phone_opens_nothing_that_nobody_looks_at(installation: Installation, open_as: OpenAs) -> None:
    asked = installation.ask("not_seen", arguments={})
    page = open_as("ana", "/inbox", viewport=PHONE)
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url.removeprefix(installation.url)))
    with page.expect_response("**/inbox/queue"):  # it catches up, as with each change and twice a minute
        page.reload()
    is_live(page)
    page.locator(f'#queue a[href="/inbox/{asked["id"]}"]').click()
    expect(page.locator("#card")).to_be_visible()
    assert f"/inbox/{asked['id']}" in fetched
    assert "/inbox/first" not in fetched


@pytest.mark.req("APR-2")
def test_what_came_while_the_connection_was_lost_is_there_after_it_returns(
    installation: Installation, open_as: OpenAs
) -> None:
    page = open_as("ben")
    open_sockets: list[WebSocketRoute] = []
    is_cut = False

    def connect(socket: WebSocketRoute) -> None:
        if is_cut:
            socket.close()
        else:
            open_sockets.append(socket)
            socket.connect_to_server()

    page.route_web_socket(re.compile("/ws/feed$"), connect)
    page.reload()
    is_live(page)
    page.evaluate("window.sameDocument = true")
    is_cut = True
    page.context.set_offline(True)
    for socket in open_sockets:
        socket.close()
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    asked = installation.ask("missed_message", arguments={})
    is_cut = False
    page.context.set_offline(False)
    is_live(page)
    expect(page.locator(f'#queue a[href="/inbox/{asked["id"]}"]')).to_be_visible()
    assert page.evaluate("window.sameDocument")


@pytest.mark.req("APR-2", "OPS-5")
def test_a_page_that_was_away_for_more_than_a_minute_has_no_gap(
    installation: Installation, open_as: OpenAs
) -> None:
    before = [installation.ask("archive", arguments={"place": place}) for place in range(2)]
    page = open_as("ben", f"/inbox/{before[0]['id']}")
    page.clock.install()
    sockets: list[WebSocketRoute] = []
    is_cut = False

    def connect(socket: WebSocketRoute) -> None:
        if is_cut:
            socket.close()
        else:
            sockets.append(socket)
            socket.connect_to_server()

    page.route_web_socket(re.compile("/ws/feed$"), connect)
    page.reload()
    is_live(page)
    page.evaluate("window.sameDocument = true")
    is_cut = True
    page.context.set_offline(True)
    sockets[-1].close()
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    # While it is away, one is decided, one expires, and three come.
    ana = open_as("ana", f"/inbox/{before[0]['id']}")
    ana.keyboard.press("a")
    confirm(ana)
    expect(ana.locator("#notice")).to_contain_text("Approved")
    expire = "UPDATE approvals_approval SET expires_at = now() WHERE id = %s RETURNING 1"
    installation.sql(expire, before[1]["id"])
    missed = [installation.ask("archive", arguments={"place": place})["id"] for place in range(2, 5)]
    status = "SELECT status FROM approvals_approval WHERE id = %s"
    wait_until(lambda: installation.sql(status, before[1]["id"]) == [("expired",)], seconds=60)
    page.clock.run_for(75_000)  # tries and polls that lead nowhere
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    assert not set(missed) & set(queue_of(page))
    is_cut = False
    page.context.set_offline(False)
    page.clock.run_for(15_000)
    is_live(page)
    stands = (
        "SELECT id::text FROM approvals_approval WHERE status = 'pending' ORDER BY "
        "CASE risk WHEN 'medium' THEN 1 WHEN 'low' THEN 2 ELSE 0 END, expires_at, requested_at LIMIT 50"
    )
    wait_until(lambda: queue_of(page) == [pk for (pk,) in installation.sql(stands)], seconds=30)
    assert set(missed) <= set(queue_of(page))
    expect(page.locator("#changed")).to_contain_text("approved by ana")
    assert page.evaluate("window.sameDocument")


def queue_of(page: Page) -> list[str]:
    """The ids of the requests that the page lists, in its order."""
    rows = "rows => rows.map(row => row.getAttribute('href').split('/').pop())"
    return list(page.locator("#queue .row-link").evaluate_all(rows))


@pytest.mark.req("OPS-3", "OPS-5")
def test_a_person_signs_in_with_a_password_and_out_again(installation: Installation, open_as: OpenAs) -> None:
    page = open_as("amir")
    expect(page.get_by_text("analyst")).to_be_visible()
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    page.get_by_label("Name").fill("amir")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").filter(has_text="don't fit together")).to_be_visible()


@pytest.mark.req("OPS-5")
def test_the_page_works_without_script(installation: Installation, open_as: OpenAs) -> None:
    asked = installation.ask("plain_form", arguments={"amount": 7})
    page = open_as("ana", f"/inbox/{asked['id']}", java_script_enabled=False)
    page.get_by_text("Approve…").click()
    page.get_by_role("button", name="Yes, do exactly this").click()
    expect(page.locator("main")).to_contain_text("Approved: ")
    assert installation.sql("SELECT status FROM approvals_approval WHERE id = %s", asked["id"]) == [
        ("approved",)
    ]


@pytest.mark.req("APR-2", "OPS-5")
def test_a_page_that_can_not_refetch_does_not_say_live(installation: Installation, open_as: OpenAs) -> None:
    page = open_as("ana")
    is_live(page)
    page.route("**/status", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # everything refetches
    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "offline")
    expect(connection).to_have_text(re.compile(r"^Not live: last heard \d\d:\d\d:\d\d$"))
    page.unroute("**/status")
    is_live(page)
    expect(connection).to_have_text("Live")


@pytest.mark.req("APR-2", "OPS-5")
def test_a_connection_that_answers_no_more_is_given_up_and_made_anew(
    installation: Installation, open_as: OpenAs
) -> None:
    page = open_as("ben")
    heard: list[str | bytes] = []
    is_dead = True
    first: list[WebSocketRoute] = []

    def pass_first(socket: WebSocketRoute, message: str | bytes) -> None:
        if not heard:
            heard.append(message)
            socket.send(message)

    def connect(socket: WebSocketRoute) -> None:
        if first and is_dead:
            socket.close()
            return
        server = socket.connect_to_server()
        if not first:
            # After its first word it is deaf and dumb, and does not even close.
            first.append(socket)
            server.on_message(lambda message: pass_first(socket, message))
            socket.on_message(lambda message: None)

    page.clock.install()
    page.route_web_socket(re.compile("/ws/feed$"), connect)
    page.reload()
    is_live(page)
    page.clock.run_for(20_000)
    is_live(page)
    page.clock.run_for(10_000)
    expect(page.locator("#connection")).to_have_attribute("data-state", "offline")
    is_dead = False
    page.clock.run_for(10_000)
    is_live(page)


@pytest.mark.req("OPS-5")
def test_the_note_that_the_server_can_not_be_reached_goes_once_it_can(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("note", arguments={"text": "x"}, effect="reversible")
    page = open_as("ana", f"/inbox/{asked['id']}")
    is_live(page)
    page.route("**/decision", lambda route: route.abort())
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.locator("#announcements")).to_contain_text("can't be reached")
    page.unroute("**/decision")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#announcements")).to_be_empty()


@pytest.mark.req("APR-2", "OPS-5")
@pytest.mark.parametrize("size", [{"width": 1280, "height": 800}, PHONE])
def test_long_words_and_piles_of_marks_stay_in_their_boxes(
    installation: Installation, open_as: OpenAs, size: dict[str, int]
) -> None:
    asked = installation.ask(
        "wipe" + "_x" * 60, arguments={"k" * 300: "a" + "\u0335\u0300\u0300" * 3, "width": size["width"]}
    )
    page = open_as("ana", f"/inbox/{asked['id']}", viewport=size)
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    expect(page.locator("#card")).to_contain_text("U+0335")
    assert page.evaluate(fits)
    page.get_by_role("link", name="Edit…").click()
    expect(page.locator("#edit-form")).to_be_visible()
    assert page.evaluate(fits)
    page.get_by_role("link", name="Emergency stop").click()
    page.get_by_label("Why").fill("z" * 400)
    page.get_by_role("button", name="Stop", exact=True).click()
    try:
        expect(page.locator(".halt-banner")).to_be_visible()
        assert page.evaluate(fits)
        page.goto(f"/inbox/{asked['id']}")
        expect(page.locator("#stopped")).to_contain_text("All agents are stopped")
        assert page.evaluate(fits)
        page.locator("#pane summary", has_text="Reject…").click()
        page.get_by_label("Why? The agent is told.").fill("r" * 400)
        page.get_by_role("button", name="Reject", exact=True).click()
        expect(page.locator("#notice")).to_contain_text("Rejected")
        page.goto(f"/inbox/{asked['id']}")
        expect(page.get_by_label("Outcome")).to_contain_text("rrr")
        assert page.evaluate(fits)
    finally:
        page.goto("/halt")
        page.get_by_role("button", name="Lift this stop").click()
        expect(page.locator(".halt-banner")).to_have_count(0)


@pytest.mark.req("APR-2", "APR-4")
def test_what_expires_while_it_is_open_says_so_and_offers_nothing(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("slow", arguments={"account": "A-1"}, expires_in=8)
    page = open_as("ana", f"/inbox/{asked['id']}")
    page.locator("#pane summary", has_text="Reject…").click()
    typed = page.get_by_label("Why? The agent is told.")
    typed.fill("Half a tho")
    expect(page.locator("#changed")).to_contain_text("it will not run")
    expect(typed).to_be_visible()
    expect(typed).to_have_value("Half a tho")
    expect(page.locator("#pane .decide .btn:visible")).to_have_count(0)
