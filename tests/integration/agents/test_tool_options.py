"""What an agent's file says of a tool holds for tools of any kind, and its checks at every edit too."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from agents.actions import publish
from agents.decisions import decide, preview_edit
from agents.exceptions import BadConfig
from agents.models import Run, ToolCall
from agents.providers.scripted import call, say, together
from agents.tools.breaker import Breakers
from agents.valkey import valkey
from approvals.exceptions import Invalid
from tests import tools, unsteady, world
from tests.integration.agents.conftest import Play

pytestmark = pytest.mark.django_db(transaction=True)

TOOLS = [
    {"python": path}
    for path in (
        *(
            f"tests.optioned.{name}"
            for name in ("transfer", "hasty", "rare", "often", "kept", "quote_payment")
        ),
        "tests.tools.get_balance",
    )
]
PAYER = {"customer_id": "C-1", "permissions": ["payments"]}


@pytest.fixture(autouse=True)
def breakers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Breakers]:
    """Those of this process: no tool has failed or been called yet."""
    _forget_tools()
    fresh = Breakers()
    for place in (
        "agents.runtime.availability",
        "agents.runtime.claiming",
        "agents.runtime.reads",
    ):
        monkeypatch.setattr(f"{place}.breakers", fresh)
    yield fresh
    _forget_tools()


def _forget_tools() -> None:
    for key in valkey().scan_iter("gatehouse:tool*"):
        valkey().delete(key)


def carried(play: Play, *turns: Any, **values: Any) -> tuple[Run, list[str]]:
    """A run that plays these turns, and what the model was told of each call."""
    model = play([*turns, say("Done.")])
    world.publish_agent(tools=TOOLS)
    run = world.carry_on(world.start(**{"subject": PAYER, **values}))
    return run, [message.text for message in model.requests[-1].messages if message.role == "tool"]


@pytest.mark.req("TOOL-2")
def test_checks_refuse_a_proposal_with_what_would_be_valid(play: Play) -> None:
    run, told = carried(
        play,
        together(
            call("transfer", account="acmee", amount=4),
            call("transfer", account="acme", amount=9000),
            call("transfer", account="acme", amount=4.5),
        ),
    )
    assert [status for _, status in world.calls(run)] == ["refused"] * 3
    for text, words in zip(
        told,
        (
            "account: 'acmee' does not exist; get_balance says: there is no account 'acmee'; accounts: acme, globex.",
            "amount: 9000 is too high; write a number of at least 1 and at most 5,000.",
            "pay whole euros, such as 4",
        ),
        strict=True,
    ):
        assert words in text
    assert "Did you mean 'acme'?" in told[0]
    assert not tools.effects()


@pytest.mark.req("TOOL-2", "TOOL-5")
def test_while_a_lookup_is_unavailable_nothing_passes_its_check(play: Play, breakers: Breakers) -> None:
    for _ in range(5):
        breakers.note(tools.get_balance, failed=True)
    breakers.unavailable_since(tools.get_balance)  # this caller is the one who tries
    run, told = carried(play, call("transfer", account="acme", amount=4))
    assert world.calls(run) == [("transfer", "refused")]
    assert "'acme' can't be checked: get_balance is unavailable since" in told[0]


@pytest.mark.req("TOOL-2", "TOOL-8", "APR-2")
def test_an_edit_passes_the_same_checks_and_has_a_new_dry_run(play: Play) -> None:
    run, _ = carried(play, call("transfer", account="acme", amount=40))
    request = world.pending(run)
    assert request.title == "Transfer 40.00 EUR to acme"
    assert request.preview["summary"] == "Leaves 1200.00 EUR."
    assert request.preview["facts"] == {"fee": 0.35, "bank": '{"open": true}'}
    actor = world.operator()
    bad = {"account": "globbex", "amount": 9000}
    shown = preview_edit(approval_id=request.pk, actor=actor, arguments=bad)
    assert [error["path"] for error in shown["errors"]] == [["amount"], ["account"]]
    with pytest.raises(Invalid, match="Did you mean 'globex'"):
        decide(approval_id=request.pk, actor=actor, decision="edit", digest=request.digest, arguments=bad)
    good = {"account": "globex", "amount": 30}
    shown = preview_edit(approval_id=request.pk, actor=actor, arguments=good)
    assert (shown["title"], shown["preview"]["summary"]) == (
        "Transfer 30.00 EUR to globex",
        "Leaves 50.00 EUR.",
    )
    decide(approval_id=request.pk, actor=actor, decision="edit", digest=request.digest, arguments=good)
    assert world.calls(world.carry_on(run)) == [("transfer", "succeeded")]
    assert [line.split()[2:] for line in tools.effects()] == [["globex", "30.0"]]


@pytest.mark.req("TOOL-8")
def test_without_its_dry_run_a_request_comes_and_says_so(play: Play) -> None:
    run, _ = carried(play, call("transfer", account="acme", amount=2000))
    assert world.pending(run).preview == {"error": "The preview failed: the bank quotes nothing above 1000"}


@pytest.mark.req("TOOL-1", "TOOL-7")
def test_permission_and_timeout_hold(play: Play) -> None:
    run, told = carried(
        play,
        together(call("transfer", account="acme", amount=4), call("hasty")),
        subject={"customer_id": "C-1"},
    )
    assert world.calls(run) == [("transfer", "denied"), ("hasty", "failed")]
    assert "lacks the right 'payments'" in told[0]
    assert "hasty did not answer within 0.05 s" in told[1]


@pytest.mark.req("TOOL-1", "TOOL-5")
def test_rate_limit_fallback_and_retries_hold(play: Play) -> None:
    unsteady.write("get_spare.failures", "0")
    run, told = carried(play, call("rare", item="cup"), call("rare", item="pen"), call("often", item="pen"))
    assert [status for _, status in world.calls(run)] == ["succeeded", "refused", "succeeded"]
    assert "rare was called 1 times within a minute" in told[1]
    assert "try often" in told[1]
    unsteady.write("get_spare.failures", "9")
    play([call("often", item="cup"), say("No.")])
    run = world.carry_on(world.start(subject=PAYER))
    assert run.status == "waiting_retry"
    ToolCall.objects.filter(run=run).update(retry_at=timezone.now())
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    assert world.calls(world.carry_on(run)) == [("often", "failed")]


@pytest.mark.req("TOOL-1", "TOOL-6")
def test_a_cached_lookup_serves_again(play: Play) -> None:
    run, told = carried(play, call("kept", item="cup"), call("kept", item="cup"))
    assert world.calls(run) == [("kept", "succeeded")] * 2
    assert len(unsteady.calls_of("get_spare")) == 1
    assert "cached" in told[1]


@pytest.mark.req("TOOL-1")
def test_the_model_is_told_when_to_use_it(play: Play) -> None:
    model = play([say("Done.")])
    world.publish_agent(tools=TOOLS)
    world.carry_on(world.start())
    told = next(each.description for each in model.requests[0].tools if each.name == "transfer")
    assert "When something is owed." in told
    assert "For refunds." in told


@pytest.mark.req("TOOL-2", "TOOL-8", "AGT-1")
def test_tools_without_those_that_they_need_are_not_published() -> None:
    with pytest.raises(BadConfig) as caught:
        publish(
            name="teller",
            config={
                "purpose": "Pays.",
                "instructions": "Pay.",
                "pattern": "react",
                "models": {"executor": "scripted:test"},
                "tools": [{"python": "tests.optioned.transfer"}, {"python": "tests.optioned.rare"}],
            },
            actor=None,
        )
    assert [error["path"] for error in caught.value.errors] == [
        ["tools", 0, "checks", "account", "exists"],
        ["tools", 0, "dry_run"],
    ]
