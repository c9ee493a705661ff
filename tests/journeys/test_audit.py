"""The audit log in a browser: a decision, its receipt, and the log that holds it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from console import environment
from tests.journeys.conftest import PATIENCE, Installation

pytestmark = pytest.mark.req("APR-9")


def test_a_decision_is_sealed_shown_and_proven_elsewhere(
    installation: Installation, open_as: Callable[..., Page], tmp_path: Path
) -> None:
    expect.set_options(timeout=PATIENCE)
    asked = installation.ask("wire_money", arguments={"amount": 40, "account": "acme"}, reason="It is owed.")
    page = open_as("ana", f"/inbox/{asked['id']}")
    page.get_by_text("Approve…").click()
    page.get_by_role("button", name="Yes, do exactly this").click()
    expect(page.locator("#notice")).to_contain_text("Approved")
    page.goto(f"/inbox/{asked['id']}")
    expect(page.locator(".receipt")).to_contain_text("What was shown is what was decided.")
    expect(page.locator(".receipt .is-sealed")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download receipt.json").click()
    receipt = tmp_path / "receipt.json"
    download.value.save_as(receipt)
    command = [sys.executable, str(environment.ROOT / "manage.py"), "audit", "verify", str(receipt)]
    env = os.environ | {"DATABASE_URL": "postgresql://nobody@/nothing?host=/nowhere"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert asked["digest"] in done.stdout
    assert json.loads(receipt.read_text())["lines"][0]["approval"] == asked["id"]

    page = open_as("amir", "/audit")
    page.get_by_label("What", exact=True).select_option("decisions")
    page.get_by_label("Who", exact=True).fill("ana")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".audit-line").first).to_contain_text("approved: ")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator(".audit-proof .state-good")).to_have_text("Whole")
