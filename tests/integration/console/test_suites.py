"""Suites from a shell and by the API, carried by the real engine."""

import json
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents.evals.suites import collect, join_suite, start_suite
from agents.models import CaseResult, Run, Suite, SuiteRun
from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from agents.runtime.loop import advance
from agents.states import RunStatus
from console.management.commands import evals
from tests import tools, world
from tests.integration.console.callers import Caller
from tests.racing import at_once
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("EVL-1")]

SUITE = """\
suite: teller-golden
agent: teller
cases:
  - case: pays what is owed
    input: Pay acme.
    answers:
      get_balance: [{account: acme, balance: 90}]
      pay: [{paid: 20}]
    expect:
      status: completed
      calls:
        - {tool: get_balance, count: 1}
        - {tool: pay, arguments: {account: acme, amount: 20}, count: 1}
      asks: [pay]
      contains: [paid EUR 20]
  - case: greets
    input: Say hello.
    expect: {no_calls: [pay], contains: [hello], max_turns: 1}
"""
GREETING = "Hello."


def tell(request: ModelRequest) -> ModelResponse:
    """What the teller does: it looks, pays, and says so."""
    if "hello" in request.messages[0].text:
        return say(GREETING)
    done = [message for message in request.messages if message.role == "tool"]
    if len(done) < 2:
        return [call("get_balance", account="acme"), call("pay", account="acme", amount=20)][len(done)]
    return say(f"It is done: paid EUR {json.loads(done[1].text)['data']['paid']}.")


def greet_badly(request: ModelRequest) -> ModelResponse:
    return say("Go away.") if "hello" in request.messages[0].text else tell(request)


def work(_: float = 0) -> None:
    """Carry all that waits, as workers do."""
    for run in Run.objects.filter(status=RunStatus.QUEUED):
        advance(run.pk)


@pytest.fixture(autouse=True)
def teller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The agent, its suite as a file, and a worker that works while the command waits."""
    monkeypatch.setattr(evals, "time", SimpleNamespace(sleep=work))
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    world.publish_agent()
    file = tmp_path / "golden.yaml"
    file.write_text(SUITE)
    run_command("apply", str(file))
    return file


def run_command(*words: str) -> str:
    out = StringIO()
    call_command("evals", *words, stdout=out)
    return out.getvalue()


def run_suite(*words: str, script: Any = tell) -> tuple[int, str]:
    """Exit status, and what was said."""
    out = StringIO()
    with using(Scripted(script)):
        try:
            call_command("evals", "run", "teller-golden", *words, stdout=out)
        except SystemExit as ended:
            return int(str(ended.code)), out.getvalue()
    return 0, out.getvalue()


def test_applying_a_file_keeps_its_cases_once(teller: Path) -> None:
    assert run_command("apply", str(teller)) == "teller-golden: unchanged\n"
    teller.write_text(SUITE[: SUITE.index("  - case: greets")])
    assert run_command("apply", str(teller)) == "teller-golden: 1 case for teller\n"
    assert [case.name for case in Suite.objects.get().cases.all()] == ["pays what is owed"]
    bad = teller.with_name("bad.yaml")
    bad.write_text(
        SUITE.replace("golden", "other").replace("[pay]", "[pya]").replace("agent: teller", "agent: teler")
    )
    with pytest.raises(CommandError, match="there is no agent 'teler'; did you mean 'teller'"):
        run_command("apply", str(bad))
    bad.write_text(SUITE.replace("golden", "other").replace("no_calls: [pay]", "no_calls: [pya]"))
    with pytest.raises(CommandError, match="greets: teller has no tool 'pya'; did you mean 'pay'"):
        run_command("apply", str(bad))
    assert Suite.objects.count() == 1


def test_a_suite_is_run_as_rehearsals_and_told_in_one_document() -> None:
    code, said = run_suite("--json")
    told = json.loads(said)
    assert code == 0, said
    assert (told["suite"], told["agent"], told["version"]) == ("teller-golden", "teller", 1)
    assert (told["passed"], told["failed"], told["regressions"]) == (2, 0, [])
    paying = told["cases"][0]
    assert paying["calls"] == [
        {"tool": "get_balance", "refused": False, "asks": False},
        {"tool": "pay", "refused": False, "asks": True},
    ]
    assert (paying["status"], paying["turns"]) == ("completed", 3)
    run = Run.objects.get(pk=paying["run"])
    assert (run.rehearsal, run.taint_sources[0]) == (True, "input")
    assert tools.effects() == []
    assert [event.name for event in Event.objects.filter(name__startswith="suite.").order_by("pk")] == [
        "suite.applied",
        "suite.started",
        "suite.finished",
    ]


def test_a_regression_ends_with_1_and_names_the_case() -> None:
    assert "no baseline" in run_suite()[1].lower()
    code, said = run_suite("--accept")
    assert (code, "This is the baseline now." in said) == (0, True)
    code, said = run_suite(script=greet_badly)
    assert code == 1
    assert "regression      greets" in said
    assert "The answer does not say 'hello'; it says: Go away." in said
    assert run_suite("--accept", script=greet_badly)[0] == 0
    code, said = run_suite(script=greet_badly)
    assert (code, "fails as before greets" in said) == (0, True)
    code, said = run_suite()
    assert (code, "improvement     greets" in said) == (0, True)


def test_without_a_baseline_every_failure_ends_with_1(teller: Path) -> None:
    assert run_suite(script=greet_badly)[0] == 1
    run_suite("--accept")
    teller.write_text(SUITE + "  - case: sings\n    input: Say hello.\n    expect: {contains: [la la]}\n")
    run_command("apply", str(teller))
    code, said = run_suite()
    assert code == 1, said
    assert "regression      sings" in said


def test_what_was_broken_off_is_taken_up() -> None:
    begun = start_suite("teller-golden", actor=None, now=timezone.now())
    greeting = Run.objects.get(case_result__place=1)
    with using(Scripted(tell)):
        advance(greeting.pk)
    collect(begun.pk, now=timezone.now())
    assert [result.passed for result in begun.results.all()] == [None, True]
    assert run_suite()[0] == 0
    assert SuiteRun.objects.get().ended_at is not None
    assert Run.objects.count() == 2


def test_shells_that_ask_at_once_share_one_run() -> None:
    join = partial(join_suite, "teller-golden", now=timezone.now())
    assert len({suite_run.pk for suite_run in at_once(join, join, join)}) == 1
    assert (SuiteRun.objects.count(), Run.objects.count()) == (1, 2)


def test_a_case_that_hangs_has_failed_and_its_run_ends() -> None:
    begun = start_suite("teller-golden", actor=None, now=timezone.now(), seconds=60)
    late = collect(begun.pk, now=timezone.now() + timedelta(seconds=61))
    assert late.ended_at is not None
    first = CaseResult.objects.get(place=0)
    assert (first.passed, first.findings[0]) == (False, "No worker took it up within 60 s: is one running?")
    work()
    assert set(Run.objects.values_list("status", flat=True)) == {"cancelled"}


def test_what_hung_long_ago_is_closed_and_the_suite_is_run_anew() -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    hung = start_suite("teller-golden", actor=None, now=long_ago)
    assert run_suite()[0] == 0
    assert set(SuiteRun.objects.get(pk=hung.pk).results.values_list("passed", flat=True)) == {False}
    over = start_suite("teller-golden", actor=None, now=long_ago)
    with using(Scripted(tell)):
        work()
    assert str(over.pk) in run_suite("--json")[1]
    assert SuiteRun.objects.count() == 3


def test_what_the_policy_denies_counts_as_no_call(teller: Path) -> None:
    world.publish_agent(policy=[{"tool": "pay", "then": "deny"}])
    teller.write_text(SUITE.replace("asks: [pay]", "asks: []\n      no_calls: [pay]"))
    run_command("apply", str(teller))
    code, said = run_suite()
    assert code == 1
    [finding] = [line for line in said.splitlines() if line.startswith("      ")]
    assert "pay was not called with " in finding
    assert finding.endswith("expected: 1; once it was proposed and refused.")


@pytest.mark.parametrize(("subject", "wrong"), [({}, ["no"]), ({"permissions": ["payments"]}, ["yes"])])
def test_what_the_subject_has_no_right_to_counts_as_no_call(
    subject: dict[str, Any], wrong: list[str]
) -> None:
    tools = [
        {"python": f"tests.{name}"}
        for name in ("optioned.transfer", "optioned.quote_payment", "tools.get_balance")
    ]
    world.publish_agent(tools=tools)
    told = {"input": "Pay acme.", "subject": subject, "answers": {"transfer": [{"paid": 4}]}}
    expected = {"no": {"calls": [{"tool": "transfer"}]}, "yes": {"no_calls": ["transfer"]}}
    suite = Suite.objects.get()
    for case, (name, expect) in zip(suite.cases.order_by("place"), expected.items(), strict=True):
        case.name, case.config = name, {**told, "case": name, "expect": expect}
        case.save()
    begun = start_suite(suite.name, actor=None, now=timezone.now())

    def pay(request: ModelRequest) -> ModelResponse:
        return say("Paid.") if len(request.messages) > 1 else call("transfer", account="acme", amount=4)

    with using(Scripted(pay)):
        work()
    collect(begun.pk, now=timezone.now())
    assert list(begun.results.filter(passed=False).values_list("name", flat=True)) == wrong


def test_what_can_not_be_run_says_why() -> None:
    with pytest.raises(CommandError, match="no suite 'teller-goldn'; did you mean 'teller-golden'"):
        run_command("run", "teller-goldn")
    with pytest.raises(CommandError, match="at least 1"):
        run_command("run", "teller-golden", "--limit", "0")
    world.publish_agent(guardrails={"input_max": 9})
    code, said = run_suite()
    assert code == 1
    assert "It could not be started: The input has 10 characters; teller takes at most 9." in said


def test_programs_run_suites_and_read_what_came_of_them() -> None:
    shop = Caller("shop", "service")
    begun = shop.post("/suites/teller-golden/runs", key="k1")
    assert (shop.status, begun["status"], len(begun["cases"])) == (201, "running", 2)
    assert shop.post("/suites/teller-golden/runs", key="k1")["id"] == begun["id"]
    with using(Scripted(tell)):
        work()
    told = shop.get(f"/suites/teller-golden/runs/{begun['id']}")
    assert (told["status"], told["passed"], told["failed"]) == ("finished", 2, 0)
    assert shop.get("/suites")["items"][0]["cases"] == 2
    assert shop.get("/suites/teller-golden")["last"]["id"] == begun["id"]
    bank, rita = Caller("bank", "service"), Caller("rita", "analyst")
    assert bank.get("/suites/teller-golden")["last"] is None
    bank.get(f"/suites/teller-golden/runs/{begun['id']}")
    assert bank.status == 404
    assert rita.get(f"/suites/teller-golden/runs/{begun['id']}")["passed"] == 2
    rita.post("/suites/teller-golden/runs")
    assert rita.status == 403
    reader = Caller("reader", "service", "read")
    reader.post("/suites/teller-golden/runs")
    assert (reader.status, reader.body["scope"]) == (403, "run")
    assert SuiteRun.objects.count() == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/suites/nothing", 404),
        ("get", "/suites/%00", 422),
        ("get", "/suites?cursor=x", 422),
        ("post", "/suites/nothing/runs", 404),
        ("get", "/suites/teller-golden/runs/x", 422),
        ("get", "/suites/teller-golden/runs/01900000-0000-7000-8000-000000000000", 404),
    ],
)
def test_what_is_not_there_is_a_problem_document(method: str, path: str, status: int) -> None:
    ana = Caller("ana", "operator")
    getattr(ana, method)(path)
    assert ana.status == status


def test_a_stop_holds_suites_too() -> None:
    ada = Caller("ada", "admin")
    ada.post("/halt")
    ada.post("/suites/teller-golden/runs")
    assert (ada.status, ada.body["type"]) == (409, "urn:gatehouse:problem:halted")


def test_what_a_rule_masks_is_masked_in_findings() -> None:
    world.publish_agent(policy=[{"tool": "pay", "then": "mask", "mask": ["account"], "seen_by": "admin"}])
    suite = Suite.objects.get()
    suite.cases.filter(place=0).update(
        config={
            "case": "pays",
            "input": "Pay.",
            "answers": {"pay": [{"paid": 20}]},
            "expect": {"no_calls": ["pay"]},
        }
    )
    begun = start_suite(suite.name, actor=None, now=timezone.now())
    with using(Scripted(tell)):
        work()
    ana, ada = Caller("ana", "operator"), Caller("ada", "admin")
    path = f"/suites/teller-golden/runs/{begun.pk}"
    assert "acme" in ada.get(path)["cases"][0]["findings"][0]
    assert "acme" not in ana.get(path)["cases"][0]["findings"][0]
