"""The commands for agents, runs and tokens, as a shell sees them."""

import json
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from agents.models import Agent, AgentVersion, Run
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from agents.runtime.loop import advance
from agents.states import RunStatus
from console.models import ApiToken
from tests import world
from traces.models import Event

pytestmark = pytest.mark.django_db

TELLER = """\
agent: teller
purpose: Pays what is owed.
instructions: Look before you pay.
pattern: react
models: {executor: "scripted:test"}
tools: [{python: tests.tools.get_balance}, {python: tests.tools.pay}]
"""


def run_command(*words: str) -> str:
    """Standard output of a command."""
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "teller.yaml"
    path.write_text(TELLER)
    return path


@pytest.mark.req("AGT-1", "AGT-2")
def test_applying_a_file_publishes_what_changed_and_only_that(file: Path) -> None:
    assert run_command("agents", "apply", str(file)) == "teller: published v1\n"
    assert run_command("agents", "apply", str(file)) == "teller: unchanged (v1)\n"
    file.write_text(TELLER.replace("react", "plan_execute"))
    assert run_command("agents", "apply", str(file)) == "teller: published v2\n"
    assert [version.number for version in AgentVersion.objects.order_by("number")] == [1, 2]
    live = Agent.objects.get().live_version
    assert live is not None
    assert (live.number, live.note) == (2, "From teller.yaml")


@pytest.mark.req("AGT-1", "APR-5")
def test_a_file_that_stops_asking_people_is_published_with_a_warning(file: Path) -> None:
    told = StringIO()
    call_command("agents", "apply", str(file), stdout=StringIO(), stderr=told)
    assert told.getvalue() == ""
    file.write_text(f"{TELLER}policy: [{{then: allow}}]\n")
    for _ in range(2):
        call_command("agents", "apply", str(file), stdout=StringIO(), stderr=told)
    assert told.getvalue().splitlines() == [
        "teller: warning: pay can't be undone and would run without asking a person, by the rule: any call: allow."
    ]


@pytest.mark.req("AGT-1")
def test_of_several_files_all_are_applied_or_none(file: Path) -> None:
    bad = file.with_name("bad.yaml")
    bad.write_text(TELLER.replace("teller", "clerk").replace("purpose", "purpos"))
    worse = file.with_name("worse.yaml")
    worse.write_text("[]")
    with pytest.raises(CommandError) as caught:
        run_command("agents", "apply", str(file), str(bad), str(worse))
    assert f"{bad}:2: purpos" in str(caught.value)
    assert f"{worse}: " in str(caught.value)
    assert not Agent.objects.exists()
    with pytest.raises(CommandError, match="already"):
        run_command("agents", "apply", str(file), str(file))


@pytest.mark.req("AGT-2")
def test_an_exported_file_applies_without_a_change(file: Path) -> None:
    world.publish_agent(
        "teller",
        instructions="Look.\n\n  Then: pay # not much\n",
        limits={"turns": 3, "seconds": "5m"},
        policy=[{"tool": "pay", "when": 'arguments.account == "acme"', "then": "allow"}],
        guardrails={"scope": "off", "confidence_min": 0.25},
    )
    file.write_text(run_command("agents", "export", "teller"))
    assert run_command("agents", "diff", str(file)) == ""
    assert run_command("agents", "apply", str(file)) == "teller: unchanged (v1)\n"
    with pytest.raises(CommandError, match="teller"):
        run_command("agents", "export", "nobody")


@pytest.mark.req("AGT-2")
def test_a_diff_shows_what_applying_would_change(file: Path) -> None:
    assert "+agent: teller" in run_command("agents", "diff", str(file))
    run_command("agents", "apply", str(file))
    file.write_text(TELLER.replace("Look before you pay.", "Pay."))
    shown = run_command("agents", "diff", str(file)).splitlines()
    assert "-instructions: Look before you pay." in shown
    assert "+instructions: Pay." in shown
    assert Agent.objects.get().versions.count() == 1


@pytest.mark.req("OPS-3")
def test_a_token_is_printed_alone_and_lets_in(client: Client) -> None:
    token = run_command("token", "create", "--user", "shop", "--role", "service")
    assert token.count("\n") == 1
    assert not User.objects.get(username="shop").has_usable_password()
    headers = {"authorization": f"Bearer {token.strip()}"}
    assert client.get("/api/v1/runs", headers=headers).status_code == 200
    assert token.strip() not in run_command("token", "list")
    assert "shop" in run_command("token", "list")
    assert token.strip() not in str(list(Event.objects.values()))
    assert "is revoked" in run_command("token", "revoke", token[:10])
    assert client.get("/api/v1/runs", headers=headers).status_code == 401
    assert "revoked" in run_command("token", "list")
    with pytest.raises(CommandError):
        run_command("token", "revoke", token[:10])


@pytest.mark.req("OPS-3")
def test_a_person_who_is_there_gets_the_role_and_a_token_that_decides() -> None:
    world.person("ana")
    run_command("token", "create", "--user", "ana", "--role", "operator", "--scope", "decide")
    assert [group.name for group in User.objects.get(username="ana").groups.all()] == ["operator"]
    assert ApiToken.objects.get().scopes == ["decide"]


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--user", "shop", "--role", "service", "--scope", "decide"), "never decide"),
        (("--user", "shop", "--role", "king"), "invalid choice"),
        (("--user", "shop", "--role", "operator", "--scope", "pay"), "invalid choice"),
        (("--user", "two words", "--role", "operator"), "can't be a user's name"),
        (("--user", "", "--role", "operator"), "can't be a user's name"),
        (("--user", "ana", "--role", "service"), "people and programs are different users"),
        (("--user", "crm", "--role", "admin"), "people and programs are different users"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(words: tuple[str, ...], told: str) -> None:
    world.person("ana", "operator")
    world.person("crm", "service")
    with pytest.raises(CommandError, match=told):
        run_command("token", "create", *words)
    assert not ApiToken.objects.exists()
    assert not User.objects.filter(username="shop").exists()


@pytest.mark.req("RUN-1")
def test_a_run_started_in_a_shell_is_queued() -> None:
    world.publish_agent()
    said = run_command("runs", "start", "teller", "--input", "Pay.", "--subject", '{"customer": "c"}')
    run = Run.objects.get()
    assert str(run.pk) in said
    assert (run.status, run.subject) == ("queued", {"customer": "c"})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nobody", "--input", "Pay."), "There is no agent 'nobody'"),
        (("teller", "--input", " "), "empty"),
        (("teller", "--input", "Pay.", "--subject", "x"), "not JSON"),
        (("teller", "--input", "Pay.", "--subject", "[]"), "JSON object"),
    ],
)
def test_a_run_that_can_not_start_says_why(words: tuple[str, ...], told: str) -> None:
    world.publish_agent()
    with pytest.raises(CommandError, match=told):
        run_command("runs", "start", *words)
    assert not Run.objects.exists()


def work() -> None:
    """Carry the one run on as a worker does, as soon as it is there."""
    try:
        while not (run := Run.objects.filter(status=RunStatus.QUEUED).first()):
            pass
        advance(run.pk)
    finally:
        connection.close()


@pytest.mark.req("RUN-1")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        ([say("Nothing was to be paid.")], 0, "completed"),
        ([call("pay", account="acme", amount=40)], 2, "waiting_approval"),
        ([], 1, "failed"),
    ],
)
def test_waiting_in_a_shell_ends_with_the_run(script: list[Any], code: int, status: str) -> None:
    world.publish_agent(limits={"turns": 2})
    worker = threading.Thread(target=work)
    out = StringIO()
    with using(Scripted(script)):
        worker.start()
        with pytest.raises(SystemExit) as ended:
            call_command("runs", "start", "teller", "--input", "Pay.", "--wait", "--json", stdout=out)
        worker.join()
    told = json.loads(out.getvalue())
    assert (told["status"], ended.value.code) == (status, code)
    assert bool(told["pending_approvals"]) == (status == "waiting_approval")
