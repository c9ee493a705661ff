"""Precedents on a card: what people decided about calls like this one, and what came of it."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents import precedents
from agents.decisions import decide
from agents.models import Precedent, Run
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from agents.runtime import novelty
from approvals.access import Actor
from approvals.models import Approval
from approvals.programs import ask_for_program
from approvals.queries import pending_queue
from tests import world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-2")]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    world.publish_agent()


def asked(account: str, amount: float) -> tuple[Run, Approval]:
    """A run that wants to pay, and its request."""
    with using(Scripted([call("pay", account=account, amount=amount)])):
        run = world.carry_on(world.start())
    return run, world.pending(run)


def decided(account: str, amount: float, decision: str, **values: Any) -> Approval:
    """The same, decided and carried out; the vector is made as a worker does."""
    run, approval = asked(account, amount)
    decide(
        approval_id=approval.pk, actor=world.operator(), decision=decision, digest=approval.digest, **values
    )
    with using(Scripted([say("Done.")])):
        world.carry_on(run)
    precedents.keep(approval.pk)
    return approval


def of(approval: Approval) -> precedents.Precedents:
    return precedents.precedents_of(approval, actor=world.operator())


def test_a_card_counts_and_tells_what_people_decided_about_calls_like_it(client: Client) -> None:
    nothing = of(asked("acme", 40)[1])
    assert (nothing.count, nothing.in_words) == (0, "")
    decided("acme", 40, "approve")
    decided("acme", 30, "edit", arguments={"account": "acme", "amount": 25})
    decided("globex", 50, "approve")
    rejected = decided(
        "acme", 60, "reject", reason="<b>Twice</b> \u202epaid; key sk-proj-abcdefghijklmnop0123."
    )
    decided("acme", 4000, "approve")  # another amount is another matter
    asked("acme", 41)  # nobody decided
    with using(Scripted([call("pay", account="acme", amount=45)])):
        approval = world.pending(world.carry_on(world.start()))
    found = of(approval)
    assert found.in_words == "3 of 4 like this were approved, 1 of them with changes"
    assert len(found.shown) == precedents.SHOWN
    assert any(each.approval.pk == rejected.pk for each in found.shown), "a no is never left out"

    client.force_login(world.person("ben", "operator"))
    page = client.get(f"/inbox/{approval.pk}").content.decode()
    part = " ".join(page.split('id="precedents-title"')[1].split("</section>")[0].split())
    assert "3 of 4 like this were approved, 1 of them with changes." in part
    assert "<strong>Rejected</strong> by ana" in part
    assert "&lt;b&gt;Twice&lt;/b&gt;" in part
    assert "U+202E" in part
    assert "sk-proj" not in part
    assert f'href="/inbox/{rejected.pk}"' in part
    assert "The call: succeeded." in part
    # What was decided later is no precedent of what was decided before.
    assert of(rejected).count == 3


def test_a_program_sees_no_precedent_but_of_its_own_requests() -> None:
    desk, other = (Actor(world.person(name, "service")) for name in ("desk", "other"))

    def ask(actor: Actor) -> Approval:
        now = timezone.now()
        arguments = {"account": "acme"}
        return ask_for_program(
            actor=actor, tool="pay", arguments=arguments, effect="reversible", expires_in=60, now=now
        )

    for actor in (desk, other):
        approval = ask(actor)
        decide(approval_id=approval.pk, actor=world.operator(), decision="approve", digest=approval.digest)
        precedents.keep(approval.pk)
    decided("acme", 40, "approve")
    mine = ask(desk)
    assert of(mine).count == 1, "of the same program, and never of an agent that has a tool of that name"
    assert precedents.precedents_of(mine, actor=desk).count == 1
    assert precedents.precedents_of(mine, actor=other).count == 0


def test_what_was_decided_gets_its_vector_in_the_background_and_an_expiry_is_no_precedent() -> None:
    _, approval = asked("acme", 40)
    decide(approval_id=approval.pk, actor=world.operator(), decision="approve", digest=approval.digest)
    asked("acme", 41)
    assert precedents.keep_due(now=timezone.now(), newest=10) == 1
    Precedent.objects.all().delete()
    assert precedents.keep_due(now=timezone.now()) == 1
    assert precedents.keep_due(now=timezone.now()) == 0
    assert Precedent.objects.get().approval_id == approval.pk


def test_vectors_of_another_model_are_made_anew_and_a_model_that_is_away_takes_nothing_away() -> None:
    first = decided("acme", 40, "approve")
    world.publish_agent(
        models={
            "executor": "scripted:test",
            "embeddings": {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"},
        }
    )
    precedents.re_embed("teller")
    assert Precedent.objects.get().embedded_by == "lexical-1"
    _, second = asked("acme", 41)
    assert [each.approval.pk for each in of(second).shown] == [first.pk], "by date, while no vector is there"
    world.publish_agent()
    Precedent.objects.update(embedded_by="openai:m")
    assert of(second).count == 0
    precedents.re_embed("teller")
    assert of(second).count == 1


def test_what_is_new_and_how_much_raises_the_risk_and_the_card_says_why(client: Client) -> None:
    client.force_login(world.person("ben", "operator"))
    world.publish_agent(policy=[{"tool": "get_balance", "then": "require"}])

    def asks() -> Approval:
        with using(Scripted([call("get_balance", account="acme")])):
            return world.pending(world.carry_on(world.start(trusted_input=True)))

    first = asks()
    assert first.risk == "medium", "new to this agent"
    assert "no call of this tool by who asks" in first.context["risk"][-1]
    decide(approval_id=first.pk, actor=world.operator(), decision="approve", digest=first.digest)
    with using(Scripted([say("Done.")])):
        world.carry_on(Run.objects.get())
    novelty.forget()
    second = asks()
    assert (second.risk, second.context["risk"]) == ("low", ["it only reads"])
    page = client.get(f"/inbox/{second.pk}").content.decode()
    assert '<th scope="row">low risk</th><td>it only reads</td>' in page

    desk, now = Actor(world.person("desk", "service")), timezone.now()

    def ask(amount: float) -> Approval:
        arguments = {"amount": amount, "order_id": amount * 1000}
        values: Any = {"actor": desk, "tool": "book", "effect": "reversible", "expires_in": 60, "now": now}
        return ask_for_program(arguments=arguments, **values)

    for amount in (10, 12, 9, 11, 10):
        approval = ask(amount)
        assert approval.risk == "medium"
        decide(approval_id=approval.pk, actor=world.operator(), decision="approve", digest=approval.digest)
    assert ask(20).risk == "medium"
    large = ask(90)
    assert large.risk == "high"
    assert large.context["risk"][-1] == "amount 90 is far above the usual 10 of 5 calls before"
    low = Approval.objects.filter(status="pending").exclude(pk=large.pk)
    assert pending_queue(world.operator()).first() == large, "before what expires at the same time"
    assert low.count() == 2
