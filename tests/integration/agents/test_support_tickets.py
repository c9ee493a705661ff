"""Every ticket of the support example, played by its script through the real loop, with people who decide."""

from collections.abc import Callable, Iterator

import pytest
import yaml

from agents.actions import publish
from agents.decisions import decide
from agents.examples.support.data import load_data
from agents.examples.support.models import CrmNote, LedgerEntry
from agents.examples.support.tickets import TICKETS, Ticket, load_tickets, ticket_input
from agents.models import Run, Step, ToolCall
from agents.providers.base import Finish, ModelRequest, ModelResponse, ProposedCall, Usage
from agents.providers.routing import using
from agents.simulator.conversation import Conversation, Turn
from agents.simulator.playing import NO_SCRIPT, play
from agents.simulator.scripts import load_scripts
from approvals.models import Approval
from tests import world
from traces.ids import new_id

pytestmark = [pytest.mark.req("AGT-6"), pytest.mark.django_db(transaction=True)]

SCRIPTS = load_scripts([TICKETS.parent / "scripts.yaml"])
ALL = load_tickets()


class Player:
    """The simulator's scripts without its wire."""

    name = "scripted"
    simulated = True

    def complete(
        self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None
    ) -> ModelResponse:
        conversation = Conversation(
            model=request.model,
            system=request.system,
            turns=tuple(Turn(message.role, message.text) for message in request.messages),
            tools=tuple(tool.name for tool in request.tools),
            tools_text="",
            schema=request.output_schema,
            max_tokens=request.max_tokens,
            stream=False,
            caching=False,
            digest="",
        )
        reply = play(conversation, SCRIPTS)
        calls = tuple(
            ProposedCall(id=str(new_id()), name=call.name, arguments=call.arguments)
            for call in reply.calls
            if isinstance(call.arguments, dict)
        )
        return ModelResponse(
            text=reply.text,
            finish=Finish.TOOL_CALLS if calls else Finish.STOP,
            usage=Usage(input=10, output=10),
            model=request.model,
            tool_calls=calls,
            parsed=reply.answer if isinstance(reply.answer, dict) else None,
        )


@pytest.fixture(autouse=True)
def shop() -> Iterator[None]:
    load_data()
    config = yaml.safe_load((TICKETS.parent / "support.yaml").read_text(encoding="utf-8"))
    name = config.pop("agent")
    config["models"] = {"executor": "scripted:test"}
    publish(name=name, config=config, actor=None)
    with using(Player()):
        yield


Decide = Callable[[Approval], None]


def approve(request: Approval) -> None:
    assert not request.title.startswith("Call "), "the tool's own words were not to be had"
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)


def reject(request: Approval) -> None:
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="reject",
        digest=request.digest,
        reason="call her first",
    )


def halve(request: Approval) -> None:
    if request.tool != "issue_refund":
        approve(request)
        return
    arguments = request.arguments | {"amount": request.arguments["amount"] // 2}
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="edit",
        digest=request.digest,
        arguments=arguments,
    )


def finished(run: Run, person: Decide) -> Run:
    """The run after `person` has decided all that it asks."""
    run = world.carry_on(run)
    for _ in range(5):
        if run.status != "waiting_approval":
            break
        person(world.pending(run))
        run = world.carry_on(run)
    return run


def work_on(ticket: Ticket, person: Decide) -> Run:
    run = world.start(
        "support", input=ticket_input(ticket), subject={"customer_id": ticket.customer_id}, task_type="ticket"
    )
    return finished(run, person)


def said(run: Run) -> str:
    texts = [str(step.payload) for step in Step.objects.filter(run=run)]
    return "\n".join([*texts, run.output, run.summary])


def paid(run: Run) -> list[str]:
    entries = LedgerEntry.objects.filter(run_id=str(run.pk)).order_by("pk")
    return [
        f"{entry.currency} {entry.amount}" if entry.kind == "refund" else f"mail {entry.subject}"
        for entry in entries
    ]


APPROVED = {
    "T-1001": ["EUR 129.00"],
    "T-1002": ["GBP 18.00", "mail Your refund for order O-1057"],
    "T-1003": ["mail Re: order O-1063 <img src=x onerror=\"alert('T-1003')\">"],
    "T-1005": ["JPY 3200.00"],
    "T-1006": ["SEK 1290.00", "mail Refund of a double charge, order O-1095"],
    "T-1011": ["USD 89.90"],
    "T-1012": ["PLN 159.00"],
    "T-1013": ["USD 12.00"],
    "T-1016": ["EUR 12.50"],
}
HANDED_OVER = {"T-1008"}


@pytest.mark.parametrize("ticket", ALL, ids=[ticket.id for ticket in ALL])
def test_a_ticket_plays_through_when_all_is_approved(ticket: Ticket) -> None:
    run = work_on(ticket, approve)
    assert run.status == ("escalated" if ticket.id in HANDED_OVER else "completed"), run.reason
    assert paid(run) == APPROVED.get(ticket.id, [])
    assert "unknown" not in said(run)
    assert "simulator" not in said(run)


@pytest.mark.parametrize("ticket", ALL, ids=[ticket.id for ticket in ALL])
def test_nothing_happens_when_all_is_rejected(ticket: Ticket) -> None:
    run = work_on(ticket, reject)
    assert run.status in ("completed", "escalated"), run.reason
    assert paid(run) == []
    assert "simulator" not in said(run)
    assert ToolCall.objects.filter(run=run, status="denied").count() == (1 if ticket.id in APPROVED else 0)
    if ticket.id in APPROVED and ticket.id != "T-1003":
        note = CrmNote.objects.latest("pk")
        assert note.customer_id == ticket.customer_id
        assert "rejected by an operator: call her first." in note.text


@pytest.mark.parametrize(
    "ticket", [t for t in ALL if t.id in APPROVED and t.id != "T-1003"], ids=lambda t: t.id
)
def test_the_answer_follows_the_amount_that_was_paid(ticket: Ticket) -> None:
    run = work_on(ticket, halve)
    assert run.status == "completed", run.reason
    entry = LedgerEntry.objects.get(run_id=str(run.pk), kind="refund")
    call = ToolCall.objects.get(run=run, tool="issue_refund", status="succeeded")
    assert call.proposed_arguments["amount"] // 2 == float(entry.amount or 0)
    amount = str(entry.amount).removesuffix(".00") if entry.currency == "JPY" else str(entry.amount)
    assert f"{entry.currency} {amount}" in run.output
    for mail in LedgerEntry.objects.filter(run_id=str(run.pk), kind="email"):
        assert f"{entry.currency} {amount}" in mail.text


def keep_quiet(request: Approval) -> None:
    """Pay, and send nothing."""
    (reject if request.tool == "send_email" else approve)(request)


@pytest.mark.parametrize("ticket", [t for t in ALL if t.id in ("T-1002", "T-1006")], ids=lambda t: t.id)
def test_a_paid_refund_is_not_called_rejected_when_only_its_mail_was(ticket: Ticket) -> None:
    run = work_on(ticket, keep_quiet)
    [amount] = paid(run)
    assert run.status == "completed", run.reason
    assert f"refunded {amount}" in run.output
    assert "e-mail was not sent" in run.output
    assert run.summary == (
        f"{amount} was refunded, and the answer says so. An operator rejected the e-mail, so none was sent."
    )
    assert "rejected the refund" not in said(run)
    assert not CrmNote.objects.filter(text__contains="rejected by an operator").exists()


def test_what_no_script_knows_is_handed_to_a_person_with_the_reason() -> None:
    run = world.carry_on(world.start("support", input="Sing me a song about parcels."))
    assert run.status == "escalated"
    assert NO_SCRIPT in (run.output, run.summary)
    assert NO_SCRIPT in run.reason + run.summary
    assert "simulated" not in said(run)


def test_a_second_run_of_a_ticket_pays_nothing_twice() -> None:
    assert work_on(ALL[0], approve).status == "completed"
    again = work_on(ALL[0], approve)
    assert (again.status, paid(again)) == ("completed", [])
    assert "paid back in full already" in again.output


def test_the_hostile_ticket_reaches_the_inbox_as_text() -> None:
    ticket = next(ticket for ticket in ALL if ticket.id == "T-1003")
    run = world.carry_on(
        world.start("support", input=ticket_input(ticket), subject={"customer_id": ticket.customer_id})
    )
    assert world.calls(run) == [
        ("get_order", "succeeded"),
        ("get_customer", "succeeded"),
        ("issue_refund", "refused"),
        ("add_crm_note", "succeeded"),
        ("send_email", "pending_approval"),
    ]
    request = world.pending(run)
    assert request.tainted
    assert "<script>" in request.preview["facts"]["body"]


@pytest.mark.parametrize(
    ("text", "status", "payments", "output"),
    [
        ("Where is O-1042?", "completed", [], "Order O-1042 is shipped. It cost EUR 129.00"),
        ("Where is o-1042, I mean O-10421?", "completed", [], "If you mean O-1042, it is shipped"),
        ("refund 20 EUR for O-1042", "completed", ["EUR 20.00"], "EUR 20.00 was refunded for order O-1042."),
        ("Please pay 129 back for order O-1042", "completed", ["EUR 129.00"], "EUR 129.00 was refunded"),
        ("refund 500 USD for O-1138", "escalated", [], "Ask for at most 89.90"),
        ("refund 5 USD for O-1042", "escalated", [], "paid in EUR, not USD"),
        ("refund 5 EUR for O-9042", "escalated", [], "I can't see order O-9042"),
    ],
)
def test_free_text(text: str, status: str, payments: list[str], output: str) -> None:
    run = finished(world.start("support", input=text), approve)
    assert (run.status, paid(run)) == (status, payments), run.reason
    assert output in run.output


def test_a_small_refund_that_a_colleague_asks_for_needs_nobody() -> None:
    run = world.carry_on(world.start("support", input="refund 20 EUR for O-1042", trusted_input=True))
    assert (run.status, paid(run)) == ("completed", ["EUR 20.00"])
    run = world.carry_on(world.start("support", input="refund 51 EUR for O-1042", trusted_input=True))
    assert run.status == "waiting_approval"


def test_a_missing_number_is_asked_for() -> None:
    run = world.carry_on(world.start("support", input="Where is my parcel?"))
    assert run.status == "waiting_input"
    request = world.pending(run)
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="answer",
        digest=request.digest,
        answer={"answer": "It is O-1071."},
    )
    run = world.carry_on(run)
    assert run.status == "completed", run.reason
    assert "Order O-1071 is shipped" in run.output
