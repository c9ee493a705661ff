"""axe-core finds nothing wrong with any page, in light and dark, on a desktop and on a phone."""

import json
from collections.abc import Callable, Iterable
from importlib.resources import files

import pytest
from django.contrib import admin
from playwright.sync_api import Page

from agents.runtime.requesting import RECONCILE_SCHEMA
from tests.journeys import pages
from tests.journeys.conftest import Installation, wait_until

pytestmark = [pytest.mark.timeout(900), pytest.mark.req("OPS-5")]
OpenAs = Callable[..., Page]

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
RUN = """async rules => {
    const only = rules.length ? { runOnly: { type: "rule", values: rules } } : {};
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...only });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(" | ")}`);
}"""
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
# What stands where follows from the size, and what is seen from the colours: each is looked at in both of the other.
LOOKS: tuple[tuple[dict[str, int], str, list[str]], ...] = (
    (DESKTOP, "light", []),
    (DESKTOP, "dark", ["color-contrast"]),
    (PHONE, "dark", []),
    (PHONE, "light", ["color-contrast"]),
)
NOBODY = "00000000-0000-0000-0000-000000000000"  # of routes that answer no GET


def violations(page: Page, path: str) -> list[str]:
    """What is wrong with the page at `path`; nothing where no whole page is there."""
    answer = page.request.get(path, max_redirects=0)
    if answer.status != 200 or "<!doctype html>" not in answer.text()[:200].lower():
        return []
    page.goto(path)
    page.evaluate(AXE)
    found: dict[str, str] = {}
    for size, scheme, rules in LOOKS:
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        for told in page.evaluate(RUN, rules):
            found.setdefault(told, f"{path} ({size['width']} px, {scheme}) {told}")
    return list(found.values())


def all_of(page: Page, paths: Iterable[str]) -> list[str]:
    return [told for path in paths for told in violations(page, path)]


@pytest.fixture
def things(installation: Installation) -> dict[str, str]:
    """Something of each kind to look at: parameters of addresses by name, and requests in each state."""
    asked = {
        name: str(installation.ask("close_account", arguments={"account": name}, reason="So.")["id"])
        for name in ("waiting", "doubt", "question", "expired")
    }
    run = installation.open_ticket("T-1001")["id"]
    change = "UPDATE approvals_approval SET {} WHERE id = %s RETURNING 1"
    doubt = {
        "idempotency_key": "K-1",
        "attempts": 1,
        "started_at": "2026-11-01T10:00:00+00:00",
        "error": "lost",
    }
    installation.sql(
        change.format("kind = 'reconcile', parameters = %s, context = %s"),
        json.dumps(RECONCILE_SCHEMA),
        json.dumps(doubt),
        asked["doubt"],
    )
    schema = {"type": "object", "properties": {"size": {"type": "string"}}, "required": ["size"]}
    installation.sql(
        change.format("kind = 'question', parameters = %s"), json.dumps(schema), asked["question"]
    )
    installation.sql(change.format("expires_at = now()"), asked["expired"])
    pending = "SELECT id::text FROM approvals_approval WHERE run_id = %s AND status = 'pending'"
    wait_until(lambda: installation.sql(pending, run) != [], seconds=60)
    asked["refund"] = installation.sql(pending, run)[0][0]
    batch = installation.post("/batches", {"agent": "support", "rows": [{"input": "Where is O-1042?"}]})
    return asked | {"run_id": str(run), "batch": str(batch["id"])}


def test_no_page_of_the_console_violates_a_rule_of_axe(
    installation: Installation, open_as: OpenAs, things: dict[str, str]
) -> None:
    [[trace, span]] = installation.sql("SELECT trace_id, id FROM traces_span ORDER BY started_at LIMIT 1")
    with_channel = open_as("ada", "/me")
    with_channel.get_by_text("Add a channel…").click()
    with_channel.get_by_label("Name", exact=True).fill("A hook")
    with_channel.get_by_label("Address").fill(f"json://127.0.0.1:{installation.receiver_port}/")
    with_channel.get_by_role("button", name="Add", exact=True).first.click()
    link = with_channel.get_by_role("link", name="A hook").first
    values = (
        {
            "approval_id": things["refund"],
            "run_id": things["run_id"],
            "channel_id": str(link.get_attribute("href")).rpartition("/")[2],
            "name": "support",
            "batch_id": things["batch"],
            "what": "none",
            "trace_id": trace,
            "span_id": span,
            "token": "none",
        }
        | dict.fromkeys(("grant_id", "call_id", "attachment_id"), NOBODY)
        | dict.fromkeys(("duty_id", "delegation_id", "view_id"), "0")
    )
    paths = pages.of_console(values)
    assert len(paths) > 60
    page = open_as("ada")
    states = [f"/inbox/{things[name]}" for name in ("waiting", "doubt", "question", "expired")]
    found = all_of(page, [*paths, *states])
    page.context.clear_cookies()
    assert [*found, *violations(page, "/sign-in")] == []


def test_no_page_of_the_admin_violates_a_rule_of_axe(
    installation: Installation, open_as: OpenAs, things: dict[str, str]
) -> None:
    rows = {}
    for model in admin.site._registry:
        table, key = model._meta.db_table, model._meta.pk.column
        found = installation.sql(f"SELECT {key}::text FROM {table} ORDER BY 1 DESC LIMIT 1")
        if found:
            rows[table] = found[0][0]
    values = {
        "app_label": "agents",
        "agent_id": rows["agents_agent"],
        "left": "1",
        "right": "1",
        "number": "1",
    }
    page = open_as("ada")
    assert all_of(page, pages.of_admin(values, rows)) == []
