"""The audit page, what is recorded for it, the receipt of a decision, and the commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from approvals.access import Actor
from approvals.models import Approval
from approvals.viewing import note_view
from console import environment
from console.people.links import make_link
from console.tasks import seal_events, verify_audit
from tests import world
from tests.history import rewritable
from tests.racing import at_once
from traces.audit.export import log_lines, written
from traces.audit.keys import public_keys
from traces.audit.sealer import seal_due
from traces.audit.verification import Damage, parse_lines, verify
from traces.models import Event, Seal
from traces.queries.audit import find_events
from traces.recorder import record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-9")]

HOSTILE = '<img src=x onerror="alert(1)"> \u202eevil'
PASSWORD = "a long enough password"


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    cache.clear()


@pytest.fixture
def run() -> Iterator[Run]:
    """A run that wants to pay EUR 40 and waits for a person."""
    with using(Scripted([call("pay", account="acme", amount=40), say("Done.")])):
        world.publish_agent()
        yield world.carry_on(world.start())


@pytest.fixture
def approval(run: Run) -> Approval:
    return world.pending(run)


def browser(name: str, *roles: str) -> Client:
    client = Client()
    client.force_login(world.person(name, *roles))
    return client


@pytest.fixture
def ana() -> Client:
    return browser("ana", "operator")


@pytest.fixture
def amir() -> Client:
    return browser("amir", "analyst")


def words(response: Any) -> str:
    assert response.status_code == 200, response.content
    return " ".join(response.content.decode().split())


def names(prefix: str) -> list[str]:
    return list(Event.objects.filter(name__startswith=prefix).order_by("pk").values_list("name", flat=True))


def told(path: Path, *options: str) -> tuple[int, str]:
    """Exit status and output of `audit verify`."""
    out = StringIO()
    try:
        call_command("audit", "verify", str(path), *options, stdout=out)
    except SystemExit as ended:
        return int(str(ended.code)), out.getvalue()
    return 0, out.getvalue()


def approve(client: Client, approval: Approval, **values: Any) -> None:
    """Look at it, then decide as the card's form does."""
    client.get(f"/inbox/{approval.pk}")
    data = {"decision": "approve", "digest": approval.digest, "confirmed": "on"} | values
    assert client.post(f"/inbox/{approval.pk}/decision", data).status_code == 302


def test_coming_in_and_leaving_is_on_record(client: Client) -> None:
    user = User.objects.create_user("ana", password=PASSWORD)
    client.post("/sign-in", {"username": "Ana", "password": "wrong"})
    client.post("/sign-in", {"username": "my secret passphrase", "password": "x"})
    client.post("/sign-in", {"username": "ana", "password": PASSWORD})
    client.post("/sign-out")
    client.get(make_link(User.objects.get(pk=user.pk)))
    events = list(Event.objects.filter(name__startswith="user.").order_by("pk"))
    assert [(event.name.partition(".")[2], event.actor, event.data["user"]) for event in events] == [
        ("sign_in_failed", "system", "ana"),
        ("sign_in_failed", "system", ""),
        ("signed_in", "user:ana", "ana"),
        ("signed_out", "user:ana", "ana"),
        ("signed_in", "user:ana", "ana"),
    ]
    assert {event.data["address"] for event in events} == {"127.0.0.1"}
    kept = str(list(Event.objects.values_list("data", flat=True)))
    assert PASSWORD not in kept
    assert "passphrase" not in kept


def test_looking_at_a_card_is_on_record_once_per_person_and_wording(ana: Client, approval: Approval) -> None:
    for path in ("/inbox", f"/inbox/{approval.pk}", f"/inbox/{approval.pk}"):
        ana.get(path)
    browser("ben", "operator").get(f"/inbox/{approval.pk}")
    views = Event.objects.filter(name="approval.viewed").order_by("pk")
    assert [(event.actor, event.data) for event in views] == [
        (f"user:{name}", {"revision": 1, "digest": approval.digest}) for name in ("ana", "ben")
    ]
    assert {(event.object_id, event.run_id) for event in views} == {(str(approval.pk), approval.run_id)}
    Approval.objects.filter(pk=approval.pk).update(revision=2)
    assert ana.get(f"/inbox/{approval.pk}").status_code == 200
    assert views.all().count() == 3


def test_a_card_that_is_opened_at_once_in_two_windows_is_one_view(approval: Approval) -> None:
    actor = world.operator()
    at_once(*[partial(note_view, approval, actor=actor)] * 6)
    assert names("approval.viewed") == ["approval.viewed"]


def test_the_page_says_in_words_who_did_what(ana: Client, run: Run, approval: Approval) -> None:
    approve(ana, approval)
    ana.post("/halt", {"agent": "", "reason": HOSTILE})
    page = words(ana.get("/audit"))
    for part in (
        "ana",
        f'<a href="/inbox/{approval.pk}">approved: Pay EUR 40.00 to acme</a>',
        "looked at: Pay EUR 40.00 to acme",
        "agent teller",
        "asked for a decision: Pay EUR 40.00 to acme",
        "stopped all agents",
        "signed in",
        "published version 1 of teller",
        "not yet",
    ):
        assert part in page, part
    assert "<img" not in page
    assert "\u202e" not in page
    assert "began pay" not in page
    assert "started a run" in words(ana.get("/audit?kind=work"))
    seal_due()
    page = words(ana.get("/audit"))
    assert "seal 1</span>" in page
    assert public_keys()[0] in page
    assert Seal.objects.get().checkpoint in page


@pytest.mark.parametrize(
    ("query", "there", "not_there"),
    [
        ("kind=decisions", "approved: Pay", "looked at"),
        ("kind=views", "looked at", "approved: Pay"),
        ("kind=sign-ins", "signed in", "approved: Pay"),
        ("kind=rules", "published version", "signed in"),
        ("kind=halts", "Nothing in the log matches", "approved"),
        ("who=ana", "approved: Pay", "asked for a decision"),
        ("who=agent:teller", "asked for a decision", "approved: Pay"),
        ("who=nobody", "Nothing in the log matches", "approved"),
        ("about={approval}", "approved: Pay", "published"),
        ("run={run}", "approved: Pay", "published"),
        ("since=2020-01-01", "approved: Pay", "log matches"),
        ("until=2020-01-01", "Nothing in the log matches", "approved"),
        ("kind=decisions&who=ana&run={run}", "approved: Pay", "looked at"),
    ],
)
def test_the_page_is_filtered(
    ana: Client, run: Run, approval: Approval, query: str, there: str, not_there: str
) -> None:
    approve(ana, approval)
    asked = query.format(approval=approval.pk, run=run.pk)
    page = words(ana.get(f"/audit?{asked}")).split('id="audit-list"')[1]
    assert there in page
    assert not_there not in page


@pytest.mark.parametrize("query", ["run=1", "since=yesterday", "cursor=x", "until=2026-02-31"])
def test_what_cant_be_read_in_a_filter_is_said(ana: Client, query: str) -> None:
    assert ana.get(f"/audit?{query}").status_code == 404


def test_the_page_goes_on_by_cursor(ana: Client) -> None:
    for number in range(60):
        record("halt.pressed", actor="user:ana", data={"agent": f"a{number}"})
    page = words(ana.get("/audit?kind=halts"))
    assert "stopped a59" in page
    assert "stopped a9<" not in page
    cursor = page.split("cursor=")[1].split('"')[0]
    record("halt.pressed", actor="user:ana", data={"agent": "later"})
    older = words(ana.get(f"/audit?kind=halts&cursor={cursor}"))
    assert "stopped a9<" in older
    assert "stopped a10<" not in older
    assert "Newest" in older


def test_the_page_is_quick_among_many_events_of_runs() -> None:
    Event.objects.bulk_create(Event(name="step.taken", actor="system") for _ in range(3000))
    record("halt.pressed", actor="user:ana")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE traces_event")
    assert "event_audited" in find_events(actors=["user:ana"]).order_by("-pk")[:51].explain()


def test_who_may_look_and_who_may_export(ana: Client, amir: Client) -> None:
    assert Client().get("/audit").status_code == 302
    assert browser("zoe").get("/audit").status_code == 403
    assert "Verify now" not in words(ana.get("/audit"))
    assert ana.get("/audit/export").status_code == 403
    assert ana.post("/audit/verify").status_code == 403
    assert "Verify now" in words(amir.get("/audit"))
    assert amir.get("/audit/verify").status_code == 405
    assert amir.post("/audit/verify", follow=True).status_code == 200


def test_what_is_shown_can_be_exported_and_verified(
    ana: Client, amir: Client, run: Run, approval: Approval, tmp_path: Path
) -> None:
    approve(ana, approval)
    response = amir.get("/audit/export?who=ana&kind=decisions")
    assert "attachment" in response.headers["Content-Disposition"]
    path = tmp_path / "export.jsonl"
    path.write_bytes(response.content)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["filter"] == {"kind": "decisions", "who": "ana"}
    assert [line["name"] for line in lines if line["kind"] == "event"] == ["approval.approved"]
    assert told(path, "--key", public_keys()[0])[0] == 0
    event = Event.objects.get(name="audit.exported")
    assert (event.actor, event.data["events"]) == ("user:amir", 1)
    path.write_text(path.read_text().replace("user:ana", "user:eve"))
    status, text = told(path)
    assert status == 1
    assert text.startswith(f"BROKEN at event {lines[2]['id']}: ")


def test_the_last_verification_is_shown(ana: Client) -> None:
    assert "Not verified yet" in words(ana.get("/audit"))
    seal_events()
    verify_audit("user:amir")
    assert "Whole" in words(ana.get("/audit"))
    first = Event.objects.order_by("pk")[0]
    with rewritable():
        Event.objects.filter(pk=first.pk).update(actor="user:eve")
    verify_audit()
    page = words(ana.get("/audit"))
    assert "Damaged" in page
    assert f"event {first.pk}: it was changed" in page
    assert "found the audit log damaged" in page


@pytest.mark.req("APR-2")
def test_the_receipt_says_that_what_was_shown_is_what_ran(
    ana: Client, run: Run, approval: Approval, tmp_path: Path
) -> None:
    approve(ana, approval)
    assert "It has not run." in words(ana.get(f"/inbox/{approval.pk}"))
    world.carry_on(run)
    assert ToolCall.objects.get(approval=approval).status == "succeeded"
    seal_due()
    page = words(ana.get(f"/inbox/{approval.pk}"))
    assert "What was shown is what was decided, and what ran." in page
    assert "in the console" in page
    receipt = page.split('id="receipt-title"')[1].split("</section>")[0]
    assert receipt.count(approval.digest) == 3
    assert receipt.count("seal 1") == 3
    assert "not as above" not in receipt

    path = tmp_path / "receipt.json"
    path.write_bytes(ana.get(f"/inbox/{approval.pk}/receipt.json").content)
    status, text = told(path, "--key", public_keys()[0])
    assert status == 0
    assert text.splitlines()[1:5] == [
        f"    shown: {approval.digest}",
        f"  decided: {approval.digest}",
        f" executed: {approval.digest}",
        "          the same",
    ]
    for before, after in ((approval.digest, "f" * 64), ("user:ana", "user:eve"), ('"shown"', '"decided"')):
        path.write_text(path.read_text().replace(before, after))
        assert told(path)[0] == 1


def test_the_receipt_of_an_edit_tells_what_was_shown_and_what_was_written(
    ana: Client, run: Run, approval: Approval
) -> None:
    approve(ana, approval, **{"decision": "edit", "field.amount": "30", "field.account": "acme"})
    world.carry_on(run)
    page = words(ana.get(f"/inbox/{approval.pk}"))
    assert "What was written is what was decided, and what ran." in page
    receipt = page.split('id="receipt-title"')[1].split("</section>")[0]
    stored = Approval.objects.get(pk=approval.pk)
    assert stored.digest != approval.digest
    assert (receipt.count(approval.digest), receipt.count(stored.digest)) == (1, 3)


def test_a_receipt_whose_lines_differ_says_so(ana: Client, run: Run, approval: Approval) -> None:
    approve(ana, approval)
    world.carry_on(run)
    with rewritable():
        claimed = Event.objects.get(name="tool_call.claimed")
        Event.objects.filter(pk=claimed.pk).update(data=claimed.data | {"digest": "f" * 64})
    page = words(ana.get(f"/inbox/{approval.pk}"))
    assert "These are not the same" in page
    assert "not as above" in page


def test_a_program_that_decides_is_shown_nothing(ana: Client, approval: Approval) -> None:
    actor = Actor(world.person("ana", "operator"), via="token", scopes=frozenset({"decide"}), role="operator")
    decide(approval_id=approval.pk, actor=actor, decision="reject", digest=approval.digest, reason="No.")
    page = words(ana.get(f"/inbox/{approval.pk}"))
    assert "What was named is what was decided." in page
    assert "by a token, through the API" in page


def test_what_nobody_decided_has_no_receipt(ana: Client, approval: Approval) -> None:
    assert ana.get(f"/inbox/{approval.pk}/receipt.json").status_code == 404
    assert "Receipt" not in words(ana.get(f"/inbox/{approval.pk}"))


def test_the_commands_export_and_verify(ana: Client, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    call_command("audit", "export", str(path))
    out = StringIO()
    call_command("audit", "verify", stdout=out)
    assert out.getvalue().startswith("whole: 1 events under 1 seals (log)")
    assert "1 events wait for their seal" in out.getvalue()  # that of the export
    checkpoint = out.getvalue().split("checkpoint ")[1].split()[0]
    assert told(path, "--checkpoint", checkpoint)[0] == 0
    record("halt.pressed", actor="user:ana")
    call_command("audit", "seal", stdout=out)
    assert "2 events sealed" in out.getvalue()
    with pytest.raises(CommandError, match="can't be read"):
        call_command("audit", "verify", str(tmp_path / "missing"))
    with pytest.raises(CommandError, match="no checkpoint"):
        call_command("audit", "verify", "--checkpoint", "nonsense")
    with pytest.raises(CommandError, match="Nothing is sealed"):
        call_command("audit", "export", str(tmp_path / "none"), "--from-seal", "9")
    assert not (tmp_path / "none").exists()


def test_a_new_key_takes_over(ana: Client) -> None:
    seal_due()
    out = StringIO()
    call_command("audit", "new-key", stdout=out)
    seal_due()
    assert out.getvalue().split()[1] == Seal.objects.get(number=2).key == public_keys()[1]


def test_an_export_is_verified_where_there_is_no_database(ana: Client, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    call_command("audit", "export", str(path))
    env = os.environ | {
        "DATABASE_URL": "postgresql://nobody@/nothing?host=/nowhere",
        "GATEHOUSE_HOME": str(tmp_path / "home"),
        "SECRET_KEY": "an auditor's own",
    }
    command = [sys.executable, str(environment.ROOT / "manage.py"), "audit", "verify", str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("whole: 1 events")
    path.write_text(path.read_text().replace("user.signed_in", "user.signed_up"))
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "it was changed: its content has another hash than was sealed. [event_changed]" in done.stdout


def test_an_export_read_with_a_foreign_key_is_not_trusted(ana: Client) -> None:
    seal_due()
    with pytest.raises(Damage, match="a key that is not trusted"):
        verify(parse_lines(written(log_lines())), pinned=["a" * 64])
