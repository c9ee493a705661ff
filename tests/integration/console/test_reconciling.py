"""Calls whose outcome was lost: what the card shows, what the tool's lookup says, and what a person makes of it."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from agents import reconciling
from agents.exceptions import BadConfig
from agents.models import ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say
from agents.reconciling import look_up
from agents.tools.breaker import Breakers
from agents.tools.registry import tools_of
from agents.valkey import valkey
from approvals.models import Approval
from tests import tools, world
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

GRANTED = [{"python": f"tests.doubtful.{name}"} for name in ("send_blind", "post_blind", "entry_under")]
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    forget()  # what other tests lost is nothing to this one
    fresh = Breakers()
    for place in ("availability", "claiming", "reads"):
        monkeypatch.setattr(f"agents.runtime.{place}.breakers", fresh)


def forget() -> None:
    for key in valkey().scan_iter("gatehouse:tool*"):
        valkey().delete(key)


@pytest.fixture
def ana(client: Client) -> Client:
    client.force_login(world.person("ana", "operator"))
    return client


def lost(tool: str = "send_blind", account: str = "acme") -> Approval:
    """The request about a call whose reply was lost."""
    world.publish_agent(policy=[{"then": "allow"}], tools=GRANTED)
    with using(Scripted([call(tool, account=account), say("Done.")])):
        return world.pending(world.carry_on(world.start()))


def settle(client: Client, request: Approval, outcome: str, **values: str) -> Any:
    data = {"decision": "answer", "digest": request.digest, "field.outcome": f'"{outcome}"'}
    data |= {name.replace("field_", "field."): value for name, value in values.items()}
    return client.post(f"/inbox/{request.pk}/decision", data, headers=FRAGMENT)


def call_of(request: Approval) -> ToolCall:
    return ToolCall.objects.get(pk=str(request.call_id))


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.req("APR-1", "TOOL-4")
def test_the_card_shows_what_was_sent_when_with_which_key_and_three_buttons(ana: Client) -> None:
    request = lost()
    card = text(ana.get(f"/inbox/{request.pk}"))
    key = call_of(request).idempotency_key
    assert f"<td>{key}</td>" in card
    assert "the connection broke after the request was sent" in card
    assert "UTC</td>" in card.split('<th scope="row">sent</th>')[1][:300]
    for words in ("It happened", "It did not, run it again with the same key", "Give up"):
        assert words in card
    assert f'hx-get="/inbox/{request.pk}/lookup" hx-trigger="load"' in card
    assert 'data-key="a"' not in card.split('id="decide"')[1]


@pytest.mark.req("APR-1", "OPS-4")
def test_the_lookup_says_what_its_system_knows_and_hides_nothing(ana: Client) -> None:
    request = lost()
    found = text(ana.get(f"/inbox/{request.pk}/lookup"))
    assert "&quot;found&quot;: 1" in found
    assert "&lt;b&gt;paid" in found
    assert "U+202E" in found
    assert "Look again" in found
    assert Approval.objects.get(pk=request.pk).status == "pending"


@pytest.mark.req("APR-1")
def test_a_granted_read_is_asked_with_the_arguments_it_takes_and_the_key() -> None:
    request = lost("post_blind")
    key = call_of(request).idempotency_key
    assert look_up(request).data == {"happened": True, "key": key, "account": "acme"}


@pytest.mark.req("APR-1")
def test_a_lookup_that_fails_or_hangs_says_so(ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    found = text(ana.get(f"/inbox/{lost(account='broken').pk}/lookup"))
    assert "It failed: the bank is closed" in found
    assert "abcdefghijklmnop" not in found
    assert look_up(lost(account="slow"), seconds=0.05).error == "It did not answer within 0.05 s."


@pytest.mark.req("APR-1")
def test_a_tool_without_a_lookup_says_where_to_look(ana: Client) -> None:
    world.publish_agent(policy=[{"then": "allow"}])
    with using(Scripted([call("lose_reply"), say("Done.")])):
        request = world.pending(world.carry_on(world.start()))
    assert "This tool has no lookup" in text(ana.get(f"/inbox/{request.pk}/lookup"))
    monkey = Approval.objects.filter(pk=request.pk)
    monkey.update(call_id=None)
    assert not reconciling.look_up(monkey.get()).declared


@pytest.mark.req("APR-1", "APR-9")
@pytest.mark.parametrize(
    ("outcome", "status", "effects"),
    [("happened", "reconciled", 1), ("not_happened", "unknown", 2), ("give_up", "reconciled", 1)],
)
def test_each_button_is_recorded_and_does_what_it_says(
    ana: Client, outcome: str, status: str, effects: int
) -> None:
    request = lost()
    assert settle(ana, request, outcome, field_note="Seen in the ledger.").status_code == 200
    event = Event.objects.get(name="approval.answered")
    assert (event.actor, event.data["outcome"]) == ("user:ana", outcome)
    with using(Scripted([say("Done.")])):
        world.carry_on(call_of(request).run)
    assert call_of(request).status == status
    assert len(tools.effects()) == effects
    assert len({line.split()[1] for line in tools.effects()}) == 1  # the same key
    assert "Seen in the ledger." in text(ana.get(f"/inbox/{request.pk}"))


@pytest.mark.req("APR-1")
def test_a_note_that_is_too_long_is_said_beside_the_buttons(ana: Client) -> None:
    request = lost()
    answer = settle(ana, request, "happened", field_note="x" * 2001)
    assert answer.status_code == 422
    assert "note: " in text(answer).split('id="decide"')[1]


@pytest.mark.req("TOOL-1")
def test_a_lookup_must_be_a_read_that_gets_what_it_needs() -> None:
    version = world.publish_agent(tools=GRANTED)
    assert tools_of(version.parsed)["post_blind"].lookup is not None
    with pytest.raises(BadConfig, match="doesn't have the tool 'entry_under'"):
        world.publish_agent("other", tools=GRANTED[:2])
