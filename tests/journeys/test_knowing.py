"""What people are shown can't be forged, several are decided at once, and a call in doubt is settled."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from agents.runtime.requesting import RECONCILE_SCHEMA
from tests.hostile import HOSTILE, UNSEEN
from tests.journeys.conftest import PATIENCE, Installation

pytestmark = pytest.mark.timeout(400)
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]

# The elements of a part of the page, as tags with classes; what names a hidden character is no element of theirs.
ELEMENTS = """selector => [...document.querySelectorAll(`${selector} *`)]
    .filter(element => !element.matches('.hidden-char'))
    .map(element => `${element.tagName}.${[...element.classList].filter(name => !name.startsWith("htmx-")).sort().join('.')}`)"""
TEXT = "() => document.title + document.querySelector('main').outerHTML"
FOREIGN = """() => [...document.querySelectorAll('main :is(script, img, iframe, object, style, link, meta, base)')]
    .concat([...document.querySelectorAll('main :is(a, form)')].filter(each =>
        !(each.getAttribute('href') ?? each.getAttribute('action') ?? '/').startsWith('/')))
    .concat([...document.querySelectorAll('main [style]')])
    .map(each => each.outerHTML.slice(0, 200))"""


def ask_hostile(installation: Installation, text: str) -> str:
    """A request in which everything that an agent can word is `text`; its id."""
    text = text.replace("\x00", "\ufffd")  # as it is stored; the API takes none
    asked = installation.ask(
        "pay",
        arguments={"note": text, "amount": 9, "parts": [text[:2000]]},
        reason=text[:9000],
        context={"mail": text},
        effect="reversible",
    )
    preview = {
        "summary": text,
        "changes": [{"field": "balance", "before": text, "after": text}],
        "facts": {"payee": text},
    }
    installation.sql(
        "UPDATE approvals_approval SET title = %s, preview = %s, agent = %s, taint_sources = %s WHERE id = %s RETURNING 1",
        text,
        json.dumps(preview),
        text[:60],
        json.dumps([text[:500]]),
        asked["id"],
    )
    return str(asked["id"])


# The share of pixels that clearly differ between two pictures; 1 where they differ in size by more than a pixel.
DIFFERENCE = """async pictures => {
    const [one, other] = await Promise.all(pictures.map(async text => {
        const bytes = Uint8Array.from(atob(text), char => char.charCodeAt(0));
        const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
        const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
        canvas.drawImage(image, 0, 0);
        return canvas.getImageData(0, 0, image.width, image.height);
    }));
    if (Math.abs(one.height - other.height) > 1 || one.width !== other.width) return 1;
    let unlike = 0;
    const length = Math.min(one.data.length, other.data.length);
    for (let at = 0; at < length; at += 4) {
        const apart = [0, 1, 2].map(part => Math.abs(one.data[at + part] - other.data[at + part]));
        if (Math.max(...apart) > 64) unlike++;
    }
    return unlike / (length / 4);
}"""
# A button that has just appeared is drawn pale for a moment.
WAKE = "document.querySelectorAll('#decide [aria-disabled]').forEach(each => each.removeAttribute('aria-disabled'))"
BLURRED = 0.02  # of the pixels differ where letters stand on other fractions of a pixel


def drawn(page: Page) -> str:
    """A picture of where the decision is made: nothing of a text may reach there."""
    expect(page.locator("#decide .btn:enabled").first).to_be_visible()
    page.evaluate(WAKE)
    return base64.b64encode(page.locator("#decide").screenshot(animations="disabled")).decode()


@pytest.mark.req("OPS-4", "APR-2")
def test_no_text_of_an_agent_can_forge_a_card(installation: Installation, open_as: OpenAs) -> None:
    plain = ask_hostile(installation, "We owe it.")
    page = open_as("ana", f"/inbox/{plain}")
    card = page.evaluate(ELEMENTS, "#card")
    row = page.evaluate(ELEMENTS, f"#row-{plain}")
    assert len(card) > 60
    buttons = drawn(page)
    wrong: dict[str, Any] = {}
    for name, text in HOSTILE:
        asked = ask_hostile(installation, text)
        page.goto(f"/inbox/{asked}")
        found = {
            "elements": page.evaluate(ELEMENTS, "#card") != card,
            "row": page.locator(f"#row-{asked}").count() and page.evaluate(ELEMENTS, f"#row-{asked}") != row,
            "foreign": page.evaluate(FOREIGN),
            "drawn over": page.evaluate(DIFFERENCE, [buttons, drawn(page)]) > BLURRED,
            "unseen": sorted({f"U+{ord(each):04X}" for each in page.evaluate(TEXT) if each in UNSEEN}),
            "title": "owned" in page.title() and "owned" not in text,
            "wide": page.evaluate("document.documentElement.scrollWidth > innerWidth"),
        }
        assert page.locator("#card .agent-words").count() == 1
        assert page.locator("#decide button[type=submit]:visible").count() == 1
        if any(found.values()):
            wrong[name] = {key: value for key, value in found.items() if value}
        if name in ("bidi-override", "button", "zero-width"):
            page.goto(f"/inbox/{asked}/edit")
            assert page.evaluate(FOREIGN) == []
    assert wrong == {}


@pytest.mark.req("APR-3")
def test_several_are_chosen_by_mouse_and_keyboard_counted_and_decided_with_one_failing(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = [installation.ask("restock", arguments={"shelf": place}, effect="read") for place in range(4)]
    ids = [each["id"] for each in asked]
    # They are to stand together in the queue, with nothing before them.
    installation.sql(
        "UPDATE approvals_approval SET risk = 'medium', expires_at = now() + make_interval(mins => 3) "
        "WHERE id = ANY(%s::uuid[]) RETURNING 1",
        ids,
    )
    page = open_as("ana", "/inbox")
    boxes = page.locator(", ".join(f"#row-{each} .row-check" for each in ids))
    expect(boxes).to_have_count(4)
    boxes.first.check()
    boxes.nth(2).click(modifiers=["Shift"])
    rows = page.locator(", ".join(f"#row-{each} .row-link" for each in ids))
    rows.nth(3).focus()
    page.keyboard.press("x")
    button = page.get_by_role("button", name="Decide 4 together")
    expect(button).to_be_visible()
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Decide 3 together")).to_be_visible()
    page.keyboard.press("x")
    button.click()
    expect(page.get_by_role("heading", name="Decide 4 requests together")).to_be_visible()
    installation.sql(
        "UPDATE approvals_approval SET role = 'admin' WHERE id = %s RETURNING 1", ids[1]
    )  # another hand was faster
    page.get_by_label("Count them").fill("4")
    page.get_by_label("Why?").fill("Checked on the shelf.")
    page.get_by_role("button", name="Approve those").click()
    expect(page.get_by_role("heading", name="3 decided, 1 not")).to_be_visible()
    expect(page.locator("tr", has_text="Not allowed")).to_have_count(1)
    stand = installation.sql("SELECT status FROM approvals_approval WHERE id = ANY(%s::uuid[])", ids)
    assert sorted(status for (status,) in stand) == ["approved", "approved", "approved", "pending"]


@pytest.mark.req("APR-1")
def test_a_call_in_doubt_is_settled_by_one_of_three_buttons(
    installation: Installation, open_as: OpenAs
) -> None:
    asked = installation.ask("pay", arguments={"amount": 9})["id"]
    context = {
        "idempotency_key": "K-1",
        "attempts": 1,
        "started_at": "2026-11-01T10:00:00+00:00",
        "error": "lost",
    }
    installation.sql(
        "UPDATE approvals_approval SET kind = 'reconcile', parameters = %s, context = %s WHERE id = %s RETURNING 1",
        json.dumps(RECONCILE_SCHEMA),
        json.dumps(context),
        asked,
    )
    page = open_as("ana", f"/inbox/{asked}")
    expect(page.locator("#lookup")).to_contain_text("This tool has no lookup")
    page.get_by_label("What did you find?").fill("It is in the ledger.")
    happened = page.get_by_role("button", name="It happened")
    expect(happened).not_to_have_attribute("aria-disabled", re.compile("."))
    happened.click()
    expect(page.locator("#notice")).to_contain_text("Answered")
    page.goto(f"/inbox/{asked}")
    expect(page.get_by_label("Outcome")).to_contain_text(re.compile("outcome: happened"))
