"""What a person denied is not asked again, until a person re-opens it."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from agents.decisions import decide
from agents.direct import call_tool
from agents.models import Run, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from approvals import denials
from approvals.access import Actor
from approvals.exceptions import AlreadyResolved, NotAllowed
from approvals.models import Approval
from tests import tools, world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    world.publish_agent()


def ask(amount: float = 40, **subject: str) -> Run:
    """A run that wants to pay, as far as it gets."""
    with using(Scripted([call("pay", account="acme", amount=amount), say("Done.")])):
        return world.carry_on(world.start(subject=subject))


def deny(run: Run) -> Approval:
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="reject",
        digest=request.digest,
        reason="We paid that already.",
    )
    with using(Scripted([say("Then not.")])):
        world.carry_on(run)
    return Approval.objects.get(pk=request.pk)


@pytest.mark.req("APR-1", "APR-3")
def test_a_later_run_is_refused_what_a_person_denied_and_told_why() -> None:
    denied = deny(ask())
    again = ask()
    assert again.status == "completed"
    refused = ToolCall.objects.get(run=again)
    assert refused.status == "refused"
    assert refused.result is not None
    assert "A person denied exactly this call" in refused.result["message"]
    assert "We paid that already." in refused.result["message"]
    assert f"/inbox/{denied.pk}" in refused.result["message"]
    assert not Approval.objects.filter(run_id=again.pk).exists()
    assert tools.effects() == []


@pytest.mark.req("APR-1")
def test_anything_else_is_asked_as_before() -> None:
    denied = deny(ask())
    assert world.pending(ask(amount=41))
    assert world.pending(ask(customer="C-7"))
    Approval.objects.filter(pk=denied.pk).update(resolved_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert world.pending(ask())


@pytest.mark.req("APR-1")
def test_a_person_re_opens_it_from_the_card_and_it_is_asked_again(client: Client) -> None:
    denied = deny(ask())
    client.force_login(world.person("ben", "operator"))
    page = client.get(f"/inbox/{denied.pk}").content.decode()
    assert "Let it be asked again" in page
    assert client.post(f"/inbox/{denied.pk}/reopen").status_code == 302
    page = client.get(f"/inbox/{denied.pk}").content.decode()
    assert "ben let it be asked again" in page
    assert "Let it be asked again" not in page
    event = Event.objects.get(name="approval.reopened")
    assert (event.actor, event.object_id) == ("user:ben", str(denied.pk))
    second = ask()
    deny(second)
    assert ask().status == "completed"  # a new denial stands again
    client.post(f"/inbox/{denied.pk}/reopen")
    assert ask().status == "completed"  # the old word does not lift it


@pytest.mark.req("APR-1", "APR-5")
def test_only_who_may_decide_re_opens_and_only_what_was_denied(client: Client) -> None:
    run = ask()
    waiting = world.pending(run)
    with pytest.raises(AlreadyResolved, match="only a denied action"):
        denials.reopen(waiting.pk, actor=world.operator(), now=timezone.now())
    denied = deny(run)
    with pytest.raises(NotAllowed):
        denials.reopen(denied.pk, actor=Actor(world.person("ines", "analyst")), now=timezone.now())
    client.force_login(world.person("ines", "analyst"))
    assert "Let it be asked again" not in client.get(f"/inbox/{denied.pk}").content.decode()
    assert client.post(f"/inbox/{denied.pk}/reopen").status_code == 403


@pytest.mark.req("APR-1")
def test_another_program_at_the_gateway_is_refused_too() -> None:
    version = world.publish_gateway()
    desk = Actor(world.person("desk", "service"))
    arguments = {"account": "acme", "amount": 40}
    first = call_tool(version=version, tool="pay", arguments=arguments, actor=desk, via="mcp", key="a").run
    request = world.pending(first)
    decide(
        approval_id=request.pk, actor=world.operator(), decision="reject", digest=request.digest, reason="No."
    )
    world.carry_on(first)
    second = call_tool(version=version, tool="pay", arguments=arguments, actor=desk, via="mcp", key="b").run
    refused = ToolCall.objects.get(run=second)
    assert refused.status == "refused"
    denials.reopen(request.pk, actor=world.operator("ben"), now=timezone.now())
    third = call_tool(version=version, tool="pay", arguments=arguments, actor=desk, via="mcp", key="c").run
    assert world.pending(third)


@pytest.mark.req("APR-3", "APR-10")
def test_another_program_is_not_asked_again_either_until_a_person_re_opens_it_by_token() -> None:
    shop, other = Caller("shop", "service"), Caller("other", "service")
    body = {"tool": "ship", "arguments": {"order": "A-1"}}
    asked = shop.post("/approvals", body)
    ana = Caller("ana", "operator", "decide", "read")
    decision = {"decision": "reject", "digest": asked["digest"], "reason": "It was shipped before."}
    ana.post(f"/approvals/{asked['id']}/decision", decision)
    refused = shop.post("/approvals", body)
    assert shop.status == 409
    assert refused["type"].endswith("denied_before")
    assert refused["approval"] == asked["id"]
    assert "It was shipped before" in refused["detail"]
    shop.post("/approvals", body | {"arguments": {"order": "A-2"}})
    assert shop.status == 201
    other.post("/approvals", body)
    assert other.status == 201
    shop.post(f"/approvals/{asked['id']}/reopen")
    assert shop.status == 403
    assert ana.post(f"/approvals/{asked['id']}/reopen", {"reason": "It came back."})["status"] == "denied"
    assert Event.objects.get(name="approval.reopened").data["reason"] == "It came back."
    assert shop.post("/approvals", body)["status"] == "pending"
