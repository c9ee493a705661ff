"""The inbox: what its pages show, who may decide, and what happens when two do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents.models import Run, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from approvals import halts, requests
from approvals.access import Actor
from approvals.models import Approval, Decision
from tests import tools, world

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script> \u202eevil'
FRAGMENT = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def run() -> Iterator[Run]:
    """A run that wants to pay EUR 40 and waits for a person."""
    script = [
        together(say("I look."), call("read_mail")),
        together(say(f"We owe it. {HOSTILE}"), call("pay", account="acme", amount=40)),
        say("Done."),
    ]
    with using(Scripted(script)):
        world.publish_agent()
        yield world.carry_on(world.start(input=f"Pay acme. {HOSTILE}", subject={"customer": "C-1"}))


@pytest.fixture
def approval(run: Run) -> Approval:
    return world.pending(run)


@pytest.fixture
def ana(client: Client) -> Client:
    """The browser of an operator."""
    client.force_login(world.person("ana", "operator"))
    return client


def browser(name: str, *roles: str) -> Client:
    client = Client()
    client.force_login(world.person(name, *roles))
    return client


def send(client: Client, approval: Approval, decision: str, *, fragment: bool = True, **values: Any) -> Any:
    """Decide as the card's form does, with its box ticked."""
    data = {"decision": decision, "digest": approval.digest, "confirmed": "on"} | {
        name.replace("field_", "field."): value for name, value in values.items()
    }
    return client.post(f"/inbox/{approval.pk}/decision", data, headers=FRAGMENT if fragment else {})


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.req("APR-2")
def test_the_card_shows_what_it_takes_to_decide_in_order(ana: Client, approval: Approval) -> None:
    card = words(ana.get(f"/inbox/{approval.pk}")).split('id="card"')[1]
    places = [
        card.index(part)
        for part in (
            'id="card-title"',
            "Pay EUR 40.00 to acme",
            "What will change",
            "1240.0</td>",
            "1200.0</td>",
            "Why you are asked",
            "default: one operator",
            "Outsiders wrote some of what the agent read",
            "its own words, not checked",
            "What the agent read",
            "IGNORE ALL RULES",
            "Where it comes from",
            f"/traces/{approval.run_id.hex}",  # type: ignore[union-attr]
            "customer C-1",
            "Raw request and digest",
            approval.digest,
            "Yes, do exactly this",
        )
    ]
    assert places == sorted(places)


@pytest.mark.req("OPS-4", "APR-2")
def test_what_an_agent_or_outsider_wrote_is_text_and_hides_nothing(ana: Client, approval: Approval) -> None:
    for path in ("/inbox", f"/inbox/{approval.pk}", f"/inbox/{approval.pk}/edit"):
        page = ana.get(path).content.decode()
        assert "<img" not in page
        assert "alert(2)</script>" not in page
        assert "\u202e" not in page
    card = ana.get(f"/inbox/{approval.pk}").content.decode()
    assert "&lt;script&gt;" in card
    assert 'title="Right-to-left override">U+202E</span>evil' in card


@pytest.mark.req("OPS-4")
def test_one_address_gives_the_page_or_its_fragment(ana: Client, approval: Approval) -> None:
    page = ana.get(f"/inbox/{approval.pk}")
    fragment = ana.get(f"/inbox/{approval.pk}", headers=FRAGMENT)
    assert b"<html" in page.content
    assert b"<html" not in fragment.content
    assert b'id="card"' in fragment.content
    assert "HX-Request" in fragment.headers["Vary"]
    restored = ana.get(f"/inbox/{approval.pk}", headers={"HX-Request": "true", "HX-Request-Type": "full"})
    assert b"<html" in restored.content


@pytest.mark.req("APR-3", "APR-4")
def test_approving_what_was_shown_runs_it_once_and_opens_the_next(
    ana: Client, run: Run, approval: Approval
) -> None:
    with using(Scripted([call("pay", account="globex", amount=9)])):
        second = world.carry_on(world.start())
    response = send(ana, approval, "approve")
    assert response.status_code == 200
    following = world.pending(second)
    assert response.headers["HX-Push-Url"] == f"/inbox/{following.pk}"
    assert f'data-id="{following.pk}"' in words(response)
    assert "Approved: " in words(response)
    assert str(approval.pk) not in words(response).split('id="queue"')[1]
    assert world.carry_on(run).status == "completed"
    assert len(tools.effects()) == 1
    decided = words(ana.get(f"/inbox/{approval.pk}"))
    assert "<strong>approved</strong> by ana" in decided.lower()
    assert "<strong>succeeded</strong>" in decided
    assert "Yes, do exactly this" not in decided


@pytest.mark.req("APR-3")
def test_without_script_a_decision_leads_to_a_page(ana: Client, approval: Approval) -> None:
    response = send(ana, approval, "reject", fragment=False, reason="Not owed.")
    assert response.headers["Location"] == "/inbox"
    assert "Rejected: Pay EUR 40.00 to acme" in words(ana.get("/inbox"))
    assert Decision.objects.get().reason == "Not owed."


@pytest.mark.req("APR-3", "APR-4")
def test_an_edit_runs_with_the_edited_number_as_a_number(ana: Client, run: Run, approval: Approval) -> None:
    preview = ana.post(
        f"/inbox/{approval.pk}/preview", {"field.account": "acme", "field.amount": "25.50"}, headers=FRAGMENT
    )
    assert "Pay EUR 25.50 to acme" in words(preview)
    assert '<td>40</td><td class="after">25.5</td>' in words(preview)
    approval.refresh_from_db()
    assert approval.revision == 1
    response = send(ana, approval, "edit", field_account="acme", field_amount="25.50")
    assert "Approved with changes: " in words(response)
    assert ToolCall.objects.get(tool="pay").approval.arguments == {"account": "acme", "amount": 25.5}  # type: ignore[union-attr]
    world.carry_on(run)
    assert [line.split()[2:] for line in tools.effects()] == [["acme", "25.5"]]
    assert "The agent proposed </span>40</del>" in words(ana.get(f"/inbox/{approval.pk}"))


@pytest.mark.req("APR-3", "TOOL-2")
@pytest.mark.parametrize(
    ("account", "amount", "field", "problem"),
    [
        ("acme", "-1", "amount", "minimum"),
        ("acme", "forty", "amount", "Write a number"),
        ("acme", "40,5", "amount", "with a point"),
        ("acme", "", "amount", "Give a value"),
        ("acme", "NaN", "amount", "Write a number"),
        ("initech", "40", "", "there is no account"),
    ],
)
def test_an_edit_that_does_not_fit_is_told_beside_its_field(
    ana: Client, approval: Approval, account: str, amount: str, field: str, problem: str
) -> None:
    response = send(ana, approval, "edit", field_account=account, field_amount=amount)
    assert response.status_code == 422
    page = words(response)
    assert f'value="{amount}"' in page
    beside = (
        page.split(f'id="d-{field}"')[1].split("</div>")[0] if field else page.split('class="edit-fields"')[1]
    )
    assert problem in beside
    assert world.pending(Run.objects.get()).revision == 1


@pytest.mark.req("APR-3")
def test_a_rejection_needs_a_reason_and_the_agent_is_told_it(
    ana: Client, run: Run, approval: Approval
) -> None:
    response = send(ana, approval, "reject", reason="  ")
    assert response.status_code == 422
    assert "Say why" in words(response)
    assert send(ana, approval, "reject", reason="Ask accounting.").status_code == 200
    world.carry_on(run)
    assert "Ask accounting." in ToolCall.objects.get(tool="pay").result["message"]  # type: ignore[index]
    assert tools.effects() == []


@pytest.mark.req("APR-4")
def test_of_two_who_decide_the_second_is_told_who_and_when(ana: Client, approval: Approval) -> None:
    ben = browser("ben", "operator")
    assert send(ben, approval, "approve").status_code == 200
    response = send(ana, approval, "reject", reason="No.")
    assert response.status_code == 409
    page = words(response)
    assert "This was approved by ben at" in page
    assert "Your decision was not taken" in page
    assert "<strong>Approved</strong> by ben" in page
    assert Decision.objects.get().user.username == "ben"


@pytest.mark.req("APR-4")
def test_who_saw_an_older_wording_is_shown_the_new_one(ana: Client, approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(approvers=2)
    shown = Approval.objects.get(pk=approval.pk)
    state = ana.get(f"/inbox/{approval.pk}").content.decode().split("changed?state=")[1].split('"')[0]
    assert ana.get(f"/inbox/{approval.pk}/changed?state={state}").status_code == 204
    ben = browser("ben", "operator")
    assert "Your yes counts; 1 more must say yes" in words(
        send(ben, shown, "edit", field_account="acme", field_amount="30")
    )
    assert "This changed since it was shown to you" in words(
        ana.get(f"/inbox/{approval.pk}/changed?state={state}")
    )
    response = send(ana, shown, "approve")
    assert response.status_code == 409
    assert "Pay EUR 30.00 to acme" in words(response)
    assert "1 of 2 said yes: ben" in words(response)
    assert "not as the agent proposed it" in words(response)
    again = send(ben, Approval.objects.get(pk=approval.pk), "approve")
    assert again.status_code == 409
    assert send(ana, Approval.objects.get(pk=approval.pk), "approve").status_code == 200
    assert Decision.objects.get().user.username == "ana"


@pytest.mark.req("APR-4")
def test_an_edit_of_what_was_decided_meanwhile_is_a_conflict(ana: Client, approval: Approval) -> None:
    send(browser("ben", "operator"), approval, "reject", reason="No.")
    response = send(ana, approval, "edit", field_account="acme", field_amount="-1")
    assert response.status_code == 409


@pytest.mark.req("APR-4")
def test_a_decision_after_the_time_limit_is_none(ana: Client, approval: Approval) -> None:
    Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now())
    response = send(ana, approval, "approve")
    assert response.status_code == 409
    assert "which denies it" in words(response)


@pytest.mark.req("APR-2", "APR-4")
def test_a_card_whose_time_is_up_says_so_and_offers_nothing(ana: Client, approval: Approval) -> None:
    page = ana.get(f"/inbox/{approval.pk}").content.decode()
    state = page.split("changed?state=")[1].split('"')[0]
    Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now())
    assert "it will not run" in words(ana.get(f"/inbox/{approval.pk}/changed?state={state}"))
    card = words(ana.get(f"/inbox/{approval.pk}", headers=FRAGMENT))
    assert "This expired at" in card
    assert "What would have changed" in card
    assert "/decision" not in card
    assert ana.get(f"/inbox/{approval.pk}/edit").headers["Location"] == f"/inbox/{approval.pk}"


@pytest.mark.req("APR-2")
def test_a_resolved_card_says_what_came_of_the_plan(ana: Client, run: Run, approval: Approval) -> None:
    send(ana, approval, "approve")
    assert "What will change" in words(ana.get(f"/inbox/{approval.pk}"))
    world.carry_on(run)
    assert "What changed" in words(ana.get(f"/inbox/{approval.pk}"))


@pytest.mark.req("APR-2")
def test_a_rejected_card_says_what_would_have_changed(ana: Client, approval: Approval) -> None:
    send(ana, approval, "reject", reason="No.")
    assert "What would have changed" in words(ana.get(f"/inbox/{approval.pk}"))


@pytest.mark.req("APR-3")
@pytest.mark.parametrize("decision", ["reject", "escalate", "edit"])
def test_a_reason_has_a_limit_and_is_kept(ana: Client, approval: Approval, decision: str) -> None:
    reason = "much " * 401
    response = send(ana, approval, decision, reason=reason, field_account="acme", field_amount="30")
    assert response.status_code == 422
    assert "use at most 2,000" in words(response)
    assert reason.strip() in words(response)
    assert not Decision.objects.exists()


@pytest.mark.req("APR-2", "APR-3")
def test_an_edit_of_high_risk_needs_a_change_and_a_ticked_box(ana: Client, approval: Approval) -> None:
    change: dict[str, Any] = {"field_account": "acme", "field_amount": "30", "reason": "Less is owed."}
    unticked = send(ana, approval, "edit", confirmed="", **change)
    assert unticked.status_code == 422
    assert "Tick the box" in words(unticked)
    assert 'value="Less is owed."' in words(unticked)
    unchanged = send(ana, approval, "edit", **change | {"field_amount": "40"})
    assert unchanged.status_code == 422
    assert "You changed nothing: go back and use Approve." in words(unchanged)
    assert not Decision.objects.exists()
    assert send(ana, approval, "edit", **change).status_code == 200


@pytest.mark.req("APR-11", "OPS-5")
@pytest.mark.parametrize(("agent", "said"), [("", "All agents are stopped"), ("other", "")])
def test_a_card_says_that_a_stop_holds_back_what_is_approved(
    ana: Client, approval: Approval, agent: str, said: str
) -> None:
    halts.halt(actor=Actor(world.person("ben", "operator")), now=timezone.now(), agent=agent, reason="Smoke.")
    for path in ("", "/edit", "/stopped"):
        decide = words(ana.get(f"/inbox/{approval.pk}{path}")).split('id="stopped"')[1]
        note = decide.split("</p>")[0]
        assert ("what you approve runs only once that is lifted" in note) == bool(said)
        assert said in note


@pytest.mark.req("OPS-3")
def test_an_analyst_reads_and_decides_nothing(approval: Approval) -> None:
    amir = browser("amir", "analyst")
    page = words(amir.get(f"/inbox/{approval.pk}"))
    assert "Deciding this needs the role operator" in page
    assert "/decision" not in page
    response = send(amir, approval, "approve")
    assert response.status_code == 403
    assert "Deciding this needs the role operator" in words(response)
    assert amir.get(f"/inbox/{approval.pk}/edit").status_code == 302
    assert not Decision.objects.exists()


@pytest.mark.req("OPS-4", "OPS-3")
def test_a_decision_needs_the_token_of_its_form(approval: Approval) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.person("ana", "operator"))
    assert send(client, approval, "approve").status_code == 403
    assert not Decision.objects.exists()


@pytest.mark.req("APR-3")
def test_escalating_leaves_it_to_the_admins(ana: Client, approval: Approval) -> None:
    assert "Escalated to the admins" in words(send(ana, approval, "escalate", reason="Too much money."))
    assert send(ana, approval, "approve").status_code == 403
    assert send(browser("ada", "admin"), approval, "approve").status_code == 200


@pytest.mark.req("APR-3")
def test_a_call_of_unknown_outcome_is_settled_by_a_form(ana: Client) -> None:
    with using(Scripted([call("lose_reply"), say("Done.")])):
        world.publish_agent()
        run = world.carry_on(world.start())
        send(ana, world.pending(run), "approve")
        run = world.carry_on(run)
        question = world.pending(run)
        page = words(ana.get(f"/inbox/{question.pk}"))
        assert "Find out whether it happened, then say what you found" in page
        assert "no time limit" in page
        assert send(ana, question, "answer").status_code == 422
        response = send(ana, question, "answer", field_outcome='"happened"', field_note="It is in the books.")
        assert "Answered: " in words(response)
        assert world.carry_on(run).status == "completed"
    assert len(tools.effects()) == 1


@pytest.mark.req("APR-2")
def test_the_queue_puts_risk_before_time_and_says_when_it_is_empty(ana: Client, approval: Approval) -> None:
    request = requests.Request(
        kind="question",  # type: ignore[arg-type]
        title="Which address?",
        tool="",
        arguments={},
        digest="0" * 64,
        risk="low",
        parameters={"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]},
        expires_in=60,
    )
    low = requests.request_approval(request, actor="test", now=timezone.now())
    queue = words(ana.get("/inbox/queue"))
    assert queue.index(str(approval.pk)) < queue.index(str(low.pk))
    assert "2 requests waiting" in queue
    assert "2<span" in words(ana.get("/status"))
    page = words(ana.get(f"/inbox/{low.pk}"))
    assert "The agent asks, in its own words" in page
    send(ana, low, "answer", field_answer="The second.")
    assert Decision.objects.get().answer == {"answer": "The second."}
    assert "Nothing is open" in words(send(ana, approval, "reject", reason="No."))
    assert "Nothing waits for a person." in words(ana.get("/inbox"))
    assert ana.get("/inbox/first").status_code == 204


@pytest.mark.req("OPS-4")
def test_an_unknown_request_is_not_found(ana: Client) -> None:
    assert ana.get("/inbox/00000000-0000-0000-0000-000000000000").status_code == 404
    assert ana.get("/inbox/not-an-id").status_code == 404
