"""The Connect page in a browser: a token, code that works as it is copied, tabs for every hand."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from console.recipes import RECIPES
from tests.integration.console.gateway import tools_at
from tests.journeys.conftest import PATIENCE, Installation

pytestmark = [pytest.mark.timeout(180), pytest.mark.req("APR-10")]
expect.set_options(timeout=PATIENCE)
OpenAs = Callable[..., Page]
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def test_an_admin_makes_a_token_and_the_copied_settings_work(
    installation: Installation, open_as: OpenAs
) -> None:
    page = open_as("ada", "/inbox", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("link", name="Connect").click()
    page.get_by_label("Program").fill("editor")
    expect(page.get_by_label("Agent", exact=True)).to_have_value("shop")
    page.get_by_role("button", name="Make the token").click()
    expect(page.get_by_role("heading", name="The token of editor")).to_be_visible()
    page.get_by_role("tab", name="Claude Code").click()
    page.get_by_role("button", name="Copy mcp.json").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))["mcpServers"]["gatehouse"]

    with ThreadPoolExecutor(1) as thread:
        seen = thread.submit(tools_at, copied["url"], copied["headers"]).result(60)

    assert {"get_order", "issue_refund", "request_approval", "get_approval"} <= seen
    assert "start_run" not in seen  # its scope was not ticked
    assert copied["headers"]["Authorization"].removeprefix("Bearer ") in page.content()
    page.goto("/connect")
    assert "gth_..." in page.content()
    assert copied["headers"]["Authorization"] not in page.content()


@pytest.mark.req("OPS-5")
@pytest.mark.parametrize("width", [1280, 360])
def test_the_code_is_found_by_keyboard(installation: Installation, open_as: OpenAs, width: int) -> None:
    page = open_as("ana", "/connect", viewport={"width": width, "height": 800})
    panels, tabs = page.get_by_role("tabpanel"), page.get_by_role("tab")
    expect(tabs).to_have_count(len(RECIPES))
    expect(panels).to_have_count(1)
    tabs.first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", selected=True)).to_be_focused()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Python")
    expect(panels.locator("pre")).to_contain_text("def approved(")
    page.keyboard.press("End")
    expect(panels.locator("pre").first).to_contain_text("mcpServers")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", selected=True)).to_have_text("curl")
    assert page.evaluate(FITS)
    page.goto("/connect#langgraph")
    page.reload()
    expect(page.get_by_role("tab", selected=True)).to_have_text("LangGraph")


@pytest.mark.req("OPS-5")
def test_without_script_all_code_is_shown(installation: Installation, open_as: OpenAs) -> None:
    page = open_as("ana", "/connect", java_script_enabled=False)
    expect(page.locator(".recipe pre:visible")).to_have_count(sum(len(each.files) for each in RECIPES))
    expect(page.locator("[data-copy]:visible")).to_have_count(0)
