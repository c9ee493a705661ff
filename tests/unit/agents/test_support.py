"""The support example on paper: its data, tickets, tools, agent file and scripts agree with each other."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from agents.config import AgentConfig
from agents.examples.support import catalogue, money, tools
from agents.examples.support.data import customer_id, drafts
from agents.examples.support.models import Order, Return, Shipment
from agents.examples.support.tickets import TICKETS, load_tickets
from agents.simulator.playing import fill_in
from agents.simulator.scripts import Script, load_scripts
from agents.tools import Effect, Tool

FOLDER = TICKETS.parent
TOOLS: dict[str, Tool] = {name: getattr(tools, name) for name in tools.__all__}
SCRIPTS = load_scripts([FOLDER / "scripts.yaml"])

pytestmark = pytest.mark.req("AGT-6")


def calls_of(script: Script) -> Iterator[tuple[str, dict[str, Any]]]:
    for turn in script.turns("executor"):
        for line in turn.cases or (turn,):
            for call in line.calls:
                yield call.name, call.arguments


def test_the_shop_has_the_orders_that_make_work() -> None:
    orders = drafts()
    assert len(orders) >= 200
    assert len({draft.number for draft in orders}) == len(orders)
    assert len(catalogue.PEOPLE) == 80
    assert len({draft.customer for draft in orders}) >= 70
    assert {draft.currency for draft in orders} >= {"EUR", "USD", "GBP", "JPY", "SEK", "PLN", "CHF"}
    statuses = [parcel.status for draft in orders for parcel in draft.parcels]
    assert statuses.count(Shipment.Status.LOST) >= 5
    assert statuses.count(Shipment.Status.DELAYED) >= 5
    assert sum(len(draft.parcels) > 1 for draft in orders) >= 10
    assert sum(bool(draft.returns) and len(draft.lines) > 1 for draft in orders) >= 5
    assert sum(bool(draft.refunds) for draft in orders) >= 5
    assert any(draft.paid > draft.total for draft in orders)
    assert any(draft.status == Order.Status.CANCELLED and draft.paid == 0 for draft in orders)


def test_the_data_is_the_same_each_time_and_makes_sense() -> None:
    assert drafts() == drafts()
    for draft in drafts():
        assert sum((refund.amount for refund in draft.refunds), Decimal(0)) <= draft.paid
        for line in draft.lines:
            assert line.unit_price > 0
            assert money.has_fitting_decimals(line.unit_price, draft.currency)
        for parcel in draft.parcels:
            assert draft.days >= parcel.shipped > parcel.last_scan > 0
            assert set(parcel.lines) <= set(range(len(draft.lines)))
            if parcel.status == Shipment.Status.LOST:
                assert parcel.last_scan >= 10
            if parcel.status == Shipment.Status.DELAYED:
                assert parcel.last_scan < 10
                assert parcel.expected > 0
        for back in draft.returns:
            assert back.quantity <= draft.lines[back.line].quantity
            if back.status == Return.Status.REFUNDED:
                assert draft.refunds


def test_customers_have_the_names_that_break_forms() -> None:
    names = [name for name, _, _ in catalogue.PEOPLE]
    assert any("'" in name for name in names)
    assert any(not name.isascii() and re.search(r"[぀-ヿ一-龯]", name) for name in names)
    assert len({mailbox for _, mailbox, _ in catalogue.PEOPLE}) == len(names)


@pytest.mark.req("TOOL-2")
@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS.keys())
def test_tools_say_what_a_model_and_an_operator_need(tool: Tool) -> None:
    Draft202012Validator.check_schema(tool.parameters)
    assert tool.parameters["additionalProperties"] is False
    for name, schema in tool.parameters["properties"].items():
        assert schema["description"], name
        assert schema["type"] in ("string", "number"), f"{name} must be a plain field in the form of an edit"
    assert tool.when_to_use
    assert tool.when_not_to_use
    assert tool.title is not None
    if tool.effect != Effect.READ:
        assert tool.check is not None
        assert tool.preview is not None


def test_tools_declare_their_effects() -> None:
    effects = {name: (tool.effect, tool.idempotent, tool.egress) for name, tool in TOOLS.items()}
    assert effects == {
        "get_customer": ("read", True, False),
        "get_order": ("read", True, False),
        "search_orders": ("read", True, False),
        "track_shipment": ("read", True, False),
        "add_crm_note": ("reversible", True, False),
        "issue_refund": ("irreversible", True, False),
        "send_email": ("irreversible", False, True),
    }
    assert [name for name, tool in TOOLS.items() if tool.untrusted] == ["get_customer"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"order_id": "O-1042", "amount": 0, "reason": "x"},
        {"order_id": "O-1042", "amount": -5, "reason": "x"},
        {"order_id": "O-1042", "amount": "129", "reason": "x"},
        {"order_id": "O-1042", "amount": 1e300, "reason": "x"},
        {"order_id": "O-1042", "amount": 5},
        {"order_id": "O-1042", "amount": 5, "reason": ""},
        {"order_id": "O-1042", "amount": 5, "reason": "x", "currency": "euro"},
        {"order_id": "O-1042\x00", "amount": 5, "reason": "x"},
        {"order_id": "O-1042", "amount": 5, "reason": "x", "approved": True},
    ],
)
def test_the_schema_of_a_refund_refuses(arguments: dict[str, Any]) -> None:
    assert not Draft202012Validator(tools.issue_refund.parameters).is_valid(arguments)
    assert Draft202012Validator(tools.issue_refund.parameters).is_valid(
        {"order_id": "O-1042", "amount": 5, "reason": "x", "currency": "EUR"}
    )


def test_the_agent_file_is_valid_and_grants_the_seven_tools() -> None:
    content = yaml.safe_load((FOLDER / "support.yaml").read_text(encoding="utf-8"))
    assert content.pop("agent") == "support"
    config = AgentConfig.model_validate(content)
    assert {ref.python for ref in config.tools} == {f"agents.examples.support.tools.{name}" for name in TOOLS}
    rules = {(rule.tool or rule.effect): rule for rule in config.policy}
    assert rules["send_email"].then == "require"
    assert rules["irreversible"].expires == 4 * 3600
    assert rules["reversible"].then == "allow"


def test_tickets_are_readable_and_name_customers_who_exist() -> None:
    tickets = load_tickets()
    assert len(tickets) >= 14
    assert len({ticket.id for ticket in tickets}) == len(tickets)
    known = {customer_id(number) for number in range(1, len(catalogue.PEOPLE) + 1)}
    for ticket in tickets:
        assert re.fullmatch(r"T-\d{4}", ticket.id)
        assert ticket.customer_id in known
        assert 0 < len(ticket.text) < 4500
    text = "\n".join(ticket.subject + ticket.text for ticket in tickets)
    for hostile in ("<script>", "onerror=", "Ignore your instructions", "\u202e"):
        assert hostile in text
    raw = TICKETS.read_text(encoding="utf-8")
    assert "\u202e" not in raw, "characters that can't be seen are written as escapes"


def test_every_ticket_has_its_script() -> None:
    for ticket in load_tickets():
        first = f"Ticket {ticket.id} from Somebody ({ticket.customer_id})\n{ticket.text}"
        script = next(script for script in SCRIPTS if re.search(script.when.user, first))
        assert script.name.startswith(ticket.id)
        assert script.planner
        assert script.observer


FILLED = {
    "customer": "C-0001",
    "order": "O-1042",
    "suggestion": "O-1042",
    "amount": "20",
    "code": "EUR",
    "refunded": "20.00",
    "currency": "EUR",
    "operator_reason": "too much",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.name for script in SCRIPTS])
def test_the_calls_of_a_script_fit_the_tools(script: Script) -> None:
    orders = {f"O-{draft.number}": draft for draft in drafts()}
    parcels = {
        f"S-{draft.number}-{index}" for draft in drafts() for index, _ in enumerate(draft.parcels, start=1)
    }
    for name, arguments in calls_of(script):
        values = fill_in(arguments, FILLED)
        Draft202012Validator(TOOLS[name].parameters).validate(values)
        if values.get("order_id") and not script.name.startswith("T-1009"):
            assert values["order_id"] in orders
        if "shipment_id" in values:
            assert values["shipment_id"] in parcels
        if "customer_id" in values:
            assert int(values["customer_id"].removeprefix("C-")) <= len(catalogue.PEOPLE)


TASK = (
    "The task:\nBEGIN DATA 123456789012\n{}\nEND DATA 123456789012\n\nThe plan:\n1. Refund 5 USD for O-1001"
)
SEEN = 'What happened:\nBEGIN DATA 123456789012\n[user] {}\n[tool] {{"refundable": "7.00 EUR for O-1002"}}'


@pytest.mark.parametrize(
    ("text", "name", "captured"),
    [
        ("refund 20 EUR for O-1042", "refund with a currency", {"amount": "20", "code": "EUR"}),
        ("O-1042: please give 129.00 EUR back.", "refund with a currency", {"amount": "129.00"}),
        ("It was 12 days ago. Refund 20 EUR for O-1042", "refund with a currency", {"amount": "20"}),
        ("refund €20 on O-1042", "refund without a currency", {"amount": "20"}),
        ("Reimburse order O-1042, amount 12.5", "refund without a currency", {"amount": "12.5"}),
        (
            "Refund EUR 129.00 to Marta Kowalska for order O-1042",
            "refund without a currency",
            {"amount": "129.00"},
        ),
        ("where is O-1042?", "an order", {}),
        ("refund O-1042", "an order", {}),
        ("where is my parcel?", "no order number", None),
    ],
)
def test_free_text_finds_its_script_in_every_role(
    text: str, name: str, captured: dict[str, str] | None
) -> None:
    for said in (text, TASK.format(text), SEEN.format(TASK.format(text))):
        script = next(script for script in SCRIPTS if re.search(script.when.user, said))
        assert script.name == f"free text, {name}"
        found = re.search(script.when.user, said)
        assert found is not None
        if captured is not None:
            assert found.groupdict() == found.groupdict() | captured | {"order": "O-1042"}
