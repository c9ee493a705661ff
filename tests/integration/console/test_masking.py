"""A masked argument never reaches the browser, or program, of who may not see it; what runs is the true one."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.utils import timezone

from agents import precedents
from agents.batch_progress import advance
from agents.batches import create_batch
from agents.models import AgentVersion, Attachment, Run, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from agents.tables import table_of
from agents.tools.registry import tools_of
from approvals.access import Actor
from approvals.grants import Offer, give
from approvals.models import Approval
from approvals.proposals import Proposal
from console.gateway import own_tools
from console.gateway.caller import Caller as GatewayCaller
from console.notifications.models import Channel, Notice
from console.notifications.words import message_of
from tests import tools, world
from tests.integration.console.callers import Caller
from traces.models import Event, Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-5")]
MASKS = [
    {"tool": "pay", "then": "mask", "mask": ["account"]},
    {"tool": "pay", "then": "mask", "mask": ["amount"], "seen_by": "operator"},
]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def run() -> Iterator[Run]:
    """A run that wants to pay globex, which operators may not read."""
    script = [
        together(say("We owe Globex 77.25."), call("pay", account="globex", amount=77.25)),
        say("globex has its 77.25."),
    ]
    with using(Scripted(script)):
        world.publish_agent(policy=MASKS)
        yield world.carry_on(world.start(input="Pay what we owe to globex."))


def browser(name: str, *roles: str) -> Client:
    client = Client()
    client.force_login(world.person(name, *roles))
    return client


def approve(client: Client, approval: Approval, **values: Any) -> Any:
    data = {"decision": "approve", "digest": approval.digest, "confirmed": "on"} | values
    return client.post(f"/inbox/{approval.pk}/decision", data, headers={"HX-Request": "true"})


def test_no_page_and_no_answer_of_the_api_holds_the_value(run: Run) -> None:
    approval = world.pending(run)
    ana, ada, amir = browser("ana", "operator"), browser("ada", "admin"), browser("amir", "analyst")
    pages = [
        "/inbox",
        "/inbox/queue",
        "/inbox/first",
        f"/inbox/{approval.pk}",
        f"/runs/{run.pk}",
        f"/runs/{run.pk}/steps",
        "/runs",
        "/traces",
        f"/traces/{run.pk.hex}",
        f"/audit?run={run.pk}",
    ]
    token = Caller("ana", "operator")
    asked = [
        f"/approvals/{approval.pk}",
        "/approvals",
        f"/runs/{run.pk}",
        f"/runs/{run.pk}/steps",
        f"/runs/{run.pk}/tool-calls",
        f"/traces/{run.pk.hex}?bodies=true",
    ]
    chosen = {"chosen": f"{approval.pk}:{approval.digest}"}

    def look() -> None:
        for path in pages:
            answer = ana.get(path)
            assert answer.status_code in (200, 204), path
            assert "globex" not in answer.content.decode().lower(), path
        for path in asked:
            assert "globex" not in json.dumps(token.get(path)).lower(), path

    look()
    card = ana.get(f"/inbox/{approval.pk}").content.decode()
    assert "Masked by the rule: pay: mask account but for the role admin" in card
    assert "Pay EUR 77.25 to [masked]" in card
    assert "preview is withheld from you" in card
    assert approval.digest in card
    assert "Pay EUR [masked] to [masked]" in amir.get(f"/inbox/{approval.pk}").content.decode()
    assert "77.25" not in amir.get(f"/runs/{run.pk}").content.decode()
    assert "Pay EUR 77.25 to globex" in ada.get(f"/inbox/{approval.pk}").content.decode()
    assert "globex" not in ana.post("/inbox/bulk", chosen).content.decode()
    decided = approve(ana, approval)
    assert decided.status_code == 200
    assert "globex" not in decided.content.decode()
    run = world.carry_on(run)
    assert tools.effects()[0].split()[2:] == ["globex", "77.25"]
    look()
    for span in run_spans(run):
        raw = ana.get(f"/traces/{run.pk.hex}/spans/{span}?raw").content.decode()
        assert "globex" not in raw.lower()
    assert ana.get(f"/inbox/{approval.pk}/receipt.json").status_code == 403
    assert ToolCall.objects.get(tool="pay").arguments == {"account": "globex", "amount": 77.25}


def test_the_results_of_a_batch_hold_no_masked_value_for_who_may_not_see_it() -> None:
    script = [call("pay", account="globex", amount=77.25), say("globex has its 77.25.")]
    ana, ada = browser("ana", "operator"), browser("ada", "admin")
    with using(Scripted(script)):
        world.publish_agent(policy=[*MASKS, {"then": "allow"}])
        batch = create_batch(agent="teller", table=table_of([{"to": "globex"}]), task="Pay {to} what we owe.")
        advance(batch.pk, now=timezone.now())
        world.carry_on(Run.objects.get(batch_row__batch=batch))
    for path in ("", "/results", "/results?format=jsonl"):
        masked = ana.get(f"/batches/{batch.pk}{path}").content.decode()
        assert "[masked] what we owe" in masked or "[masked] has its" in masked
        assert "globex" not in masked
        assert "globex" in ada.get(f"/batches/{batch.pk}{path}").content.decode()


def test_the_gateway_masks_what_a_person_looks_at_with_a_token(run: Run) -> None:
    approval = world.pending(run)

    def told(of: str, *scopes: str) -> str:
        person = world.person(of, "operator")
        caller = GatewayCaller(Actor(person, via="token", role="operator"), scopes=frozenset(scopes))
        return str(asyncio.run(own_tools.call(caller, "get_approval", {"approval_id": str(approval.pk)})))

    assert "Pay" not in told("ana", "mcp")
    assert "lacks the scope 'read'" in told("ana", "mcp")
    seen = told("ana", "mcp", "read")
    assert "[masked]" in seen or "masked by" in seen
    assert "globex" not in seen


def test_who_may_not_see_it_can_t_word_it_or_grant_it(run: Run) -> None:
    approval = world.pending(run)
    ana, ada = browser("ana", "operator"), browser("ada", "admin")
    form = {"field.account": "acme", "field.amount": "1"}
    assert ana.get(f"/inbox/{approval.pk}/edit").status_code == 302
    assert ana.post(f"/inbox/{approval.pk}/preview", form).status_code == 403
    assert approve(ana, approval, decision="edit", **form).status_code == 403
    assert ana.get(f"/inbox/{approval.pk}/grant").status_code == 403
    program = Caller("ana", "operator", "decide", "read")
    body = {"decision": "edit", "digest": approval.digest, "arguments": {"account": "acme", "amount": 1}}
    assert "masked for you" in program.post(f"/approvals/{approval.pk}/decision", body)["detail"]
    assert Approval.objects.get(pk=approval.pk).revision == 1
    assert approve(ada, approval, decision="edit", **form).status_code == 200
    for name in ("ana", "amir"):
        shown = browser(name, "operator" if name == "ana" else "analyst").get(f"/inbox/{approval.pk}")
        assert "globex" not in shown.content.decode().lower()
        assert "acme" not in shown.content.decode()
    excerpt = browser("amir", "analyst").get(f"/audit/export?run={run.pk}")
    assert excerpt.status_code == 200
    assert "globex" not in excerpt.content.decode()
    assert "globex" in ada.get(f"/audit/export?run={run.pk}").content.decode()


def test_a_mask_that_is_added_later_masks_what_was_asked_before() -> None:
    with using(Scripted([call("pay", account="globex", amount=5)])):
        world.publish_agent()
        run = world.carry_on(world.start(input="Pay."))
    ana, path = browser("ana", "operator"), f"/inbox/{world.pending(run).pk}"
    assert "globex" in ana.get(path).content.decode()
    world.publish_agent(policy=MASKS)
    assert "globex" not in ana.get(path).content.decode()


def test_a_call_like_it_shows_no_masked_value_either(run: Run) -> None:
    before, ana, ada = world.pending(run), browser("ana", "operator"), browser("ada", "admin")
    assert approve(ana, before).status_code == 200
    precedents.keep(before.pk)
    with using(Scripted([call("pay", account="acme", amount=75)])):
        path = f"/inbox/{world.pending(world.carry_on(world.start(input='Pay.'))).pk}"
    seen, whole = (client.get(path).content.decode() for client in (ana, ada))
    assert "1 of 1 like this was approved" in seen
    assert "With the same arguments" not in seen
    assert "globex" not in seen
    assert "acme" not in seen
    assert "globex" in whole


def test_a_channel_that_names_actions_does_not_name_a_masked_one(run: Run) -> None:
    approval = world.pending(run)
    event = Event.objects.get(name="approval.requested")
    notice = Notice(channel=Channel(), event_id=event.pk, topic="asked", object_id=str(approval.pk))
    message = message_of(notice, approval, with_title=True)
    assert "globex" not in message.body
    assert str(approval.pk) in message.body


def test_what_people_say_of_it_shows_no_masked_value(run: Run) -> None:
    approval = world.pending(run)
    ana, ada, token = browser("ana", "operator"), browser("ada", "admin"), Caller("ana", "operator")
    assert ada.post(f"/inbox/{approval.pk}/comment", {"text": "Who is globex?"}).status_code == 302
    assert approve(ada, approval, decision="reject", reason="No globex, ever.").status_code == 200
    world.carry_on(run)
    precedents.keep(approval.pk)
    with using(Scripted([call("pay", account="acme", amount=75)])):
        world.publish_agent(policy=MASKS)
        like = world.pending(world.carry_on(world.start(input="Pay.")))
    pages = [
        f"/inbox/{approval.pk}",
        f"/inbox/{approval.pk}/timeline",
        f"/inbox/{like.pk}",
        f"/runs/{run.pk}",
    ]
    for path in pages:
        seen, whole = (client.get(path).content.decode() for client in (ana, ada))
        assert "No [masked], ever." in seen, path
        assert "globex" not in seen.lower(), path
        assert "No globex, ever." in whole, path
    assert token.get(f"/approvals/{approval.pk}")["decision"]["reason"] == "No [masked], ever."


def test_a_masked_value_can_t_be_found_out_by_sending_guesses(run: Run) -> None:
    approval, program = world.pending(run), Caller("ana", "operator", "decide", "read")
    for account in ("globex", "acme"):
        body = {"decision": "approve", "digest": "0" * 64, "arguments": {"account": account, "amount": 77.25}}
        assert "masked for you" in program.post(f"/approvals/{approval.pk}/decision", body)["detail"]


def test_grants_show_and_confirm_no_masked_limit(run: Run) -> None:
    approval, now = world.pending(run), timezone.now()
    ana, ada, amir = browser("ana", "operator"), browser("ada", "admin"), browser("amir", "analyst")
    offer = Offer(
        agent="teller",
        tool="pay",
        tool_digest=approval.tool_digest,
        scope={"account": {"is": "equal", "value": "globex"}, "amount": {"is": "at_most", "value": 50}},
        uses=2,
        seconds=60,
        approvers=2,
    )
    grant = give(offer, actor=Actor(world.person("ada", "admin")), now=now)
    seen = ana.get("/grants").content.decode()
    assert "account is masked for you" in seen
    assert "amount at most 50" in seen
    assert "globex" not in seen
    assert "account is globex" in ada.get("/grants").content.decode()
    assert ana.post(f"/grants/{grant.pk}/confirm").status_code == 403
    assert "globex" not in amir.get("/audit/export?kind=grants").content.decode()
    assert "globex" in ada.get("/audit/export?kind=grants").content.decode()


def test_a_grant_tells_neither_the_masked_amounts_that_were_spent_nor_what_its_reason_repeats() -> None:
    mask = {"tool": "pay", "then": "mask", "mask": ["account", "amount"]}
    with using(Scripted([call("pay", account="globex", amount=77.25), say("Paid.")])):
        world.publish_agent(policy=[mask])
        offer = Offer(
            agent="teller",
            tool="pay",
            tool_digest=tools_of(published().parsed)["pay"].digest,
            scope={"account": {"is": "equal", "value": "globex"}, "amount": {"is": "any"}},
            uses=2,
            seconds=60,
            budget_of="amount",
            budget=200,
            reason="Globex is paid weekly.",
        )
        give(offer, actor=Actor(world.person("ada", "admin")), now=timezone.now())
        assert world.carry_on(world.start(trusted_input=True)).status == "completed"
    seen = browser("ana", "operator").get("/grants").content.decode()
    whole = browser("ada", "admin").get("/grants").content.decode()
    for told in ("77.25", "Globex", "globex"):
        assert told in whole
        assert told not in seen
    assert "[masked] is paid weekly." in seen


def test_what_the_agent_read_shows_masked_arguments_by_their_place_too(run: Run) -> None:
    approval, made = world.pending(run), ToolCall.objects.get(run=run)
    # A value that nobody could find again in a text.
    read = {
        "tool": "pay",
        "call_id": str(made.pk),
        "arguments": {"account": True, "note": "kept"},
        "result": 1,
    }
    Approval.objects.filter(pk=approval.pk).update(context={"evidence": [read]})
    seen, whole = (
        browser(name, role).get(f"/inbox/{approval.pk}").content.decode()
        for name, role in (("ana", "operator"), ("ada", "admin"))
    )
    for card, shows in ((seen, False), (whole, True)):
        assert "kept" in card
        assert ("&quot;account&quot;: true" in card) is shows


def test_a_file_that_a_tool_returned_is_withheld_from_who_may_not_see_all_of_its_run(run: Run) -> None:
    made = ToolCall.objects.get(run=run)
    file = Attachment.objects.create(
        call=made, media_type="image/png", content=b"globex", created_at=timezone.now()
    )
    path = f"/runs/{run.pk}/attachments/{file.pk}"
    ana, ada = browser("ana", "operator"), browser("ada", "admin")
    assert (ana.get(path).status_code, ada.get(path).status_code) == (403, 200)
    assert path not in ana.get(f"/runs/{run.pk}").content.decode()
    assert path in ada.get(f"/runs/{run.pk}").content.decode()


def test_history_suggests_no_masked_value(run: Run) -> None:
    approval = world.pending(run)
    found = Proposal("teller", "pay", {"account": {"is": "equal", "value": "globex"}}, 12, 12, 0, approval)
    ana, ada = browser("ana", "operator"), browser("ada", "admin")
    with mock.patch("console.views.grants.proposals", return_value=[found]):
        assert "globex" not in ana.get("/grants").content.decode()
        assert "globex" in ada.get("/grants").content.decode()
    form = {"agent": "teller", "tool": "pay", "uses": "1", "seconds": "60"}
    assert ana.post("/grants/propose", form).status_code == 403


def test_a_batch_s_results_show_no_masked_value() -> None:
    with using(Scripted([call("pay", account="globex", amount=5), say("globex has it.")])):
        world.publish_agent(policy=[*MASKS, {"tool": "pay", "then": "allow"}])
        rows = [{"input": "Pay globex.", "who": "globex"}]
        batch = create_batch(
            agent="teller", table=table_of(rows), task="", trusted=True, actor=world.operator()
        )
        advance(batch.pk, now=timezone.now())
        world.carry_on(Run.objects.get(batch_row__batch=batch))
    ana, ada = browser("ana", "operator"), browser("ada", "admin")
    for path in ("", "/results", "/results?format=jsonl"):
        seen, whole = (client.get(f"/batches/{batch.pk}{path}").content.decode() for client in (ana, ada))
        assert "[masked]" in seen, path
        assert "globex" not in seen, path
        assert "globex" in whole, path
    told = Caller("ana", "operator")
    assert "globex" not in told.client.get(f"/api/v1/batches/{batch.pk}/results").content.decode()


def published() -> AgentVersion:
    return AgentVersion.objects.latest("pk")


def run_spans(run: Run) -> list[str]:
    return list(Span.objects.filter(run_id=run.pk).values_list("pk", flat=True))
