"""The support example's tools on the real database: what they give, refuse and do once."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from agents.examples.support import tools
from agents.examples.support.data import load_data
from agents.examples.support.models import CrmNote, Customer, LedgerEntry, Order, OrderLine, Return, Shipment
from agents.tools import Denied, NotFound, Tool, ToolContext, ToolFailure
from agents.tools.validation import BadArguments, validate

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)

pytestmark = [pytest.mark.req("AGT-6"), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def shop(db: None) -> None:
    load_data(now=NOW)


def context(customer: str = "", key: str = "key-1") -> ToolContext:
    subject = {"customer_id": customer} if customer else {}
    return ToolContext(
        run_id="run-1", call_id="call-1", idempotency_key=key, subject=subject, agent="support", now=NOW
    )


def use(tool: Tool, *, customer: str = "", key: str = "key-1", **arguments: Any) -> Any:
    """What the tool gives, after the checks that the gate makes; it must be JSON."""
    validate(tool, context(customer, key), arguments)
    result = tool.run(context(customer, key), arguments)
    assert json.loads(json.dumps(result)) == result
    return result


def test_loading_twice_changes_nothing() -> None:
    counted = (Customer, Order, OrderLine, Shipment, Return, CrmNote, LedgerEntry)
    before = [model._default_manager.count() for model in counted]
    load_data(now=NOW)
    assert [model._default_manager.count() for model in counted] == before
    assert before[0] == 80
    assert before[1] >= 200
    assert CrmNote.objects.filter(text__contains="<script>").exists()


def test_an_order_shows_lines_parcels_returns_and_refunds() -> None:
    order = use(tools.get_order, order_id="O-1103")
    assert order["total"] == {"amount": "45.90", "currency": "EUR"}
    assert order["refundable"] == {"amount": "0.00", "currency": "EUR"}
    assert [refund["amount"] for refund in order["refunds"]] == ["45.90"]
    assert order["returns"][0]["status"] == "refunded"
    assert use(tools.get_order, order_id="O-1088")["paid"] == {"amount": "12800", "currency": "JPY"}
    assert use(tools.get_order, order_id="O-1095")["paid"]["amount"] == "2580.00"
    assert [parcel["status"] for parcel in use(tools.get_order, order_id="O-1160")["shipments"]] == [
        "delivered",
        "in_transit",
    ]


def test_a_lost_parcel_says_how_long_nobody_saw_it() -> None:
    parcel = use(tools.track_shipment, shipment_id="S-1042-1")
    assert parcel["status"] == "lost"
    assert parcel["days_without_scan"] == 16
    assert parcel["products"] == ["1 x Wool blanket, grey"]
    assert parcel["last_scan_at"] == parcel["scans"][-1]["at"]


def test_a_customer_comes_with_the_latest_notes() -> None:
    customer = use(tools.get_customer, customer_id="C-0005")
    assert customer["name"] == "山田 花子"
    hostile = use(tools.get_customer, customer_id="C-0003")["notes"][0]
    assert hostile["author"] == "web form"
    assert "<script>" in hostile["text"]


def test_orders_are_found_by_product_and_state() -> None:
    every = use(tools.search_orders, customer_id="C-0014")
    assert every["total"] == len(every["orders"]) >= 1
    assert (
        use(tools.search_orders, customer_id="C-0014", text="IRON POT")["orders"][0]["order_id"] == "O-1160"
    )
    assert use(tools.search_orders, customer_id="C-0014", status="placed")["total"] == 0


def test_a_near_miss_is_answered_with_what_was_meant() -> None:
    with pytest.raises(NotFound, match=r"Order O-1402 does not exist. Did you mean O-1204\?"):
        use(tools.get_order, customer="C-0009", order_id="O-1402")
    with pytest.raises(NotFound, match=r"Did you mean O-1042\?"):
        use(tools.get_order, order_id="1042")
    with pytest.raises(NotFound, match="Customer C-9999 does not exist"):
        use(tools.get_customer, customer_id="C-9999")
    with pytest.raises(NotFound, match="Call get_order"):
        use(tools.track_shipment, shipment_id="S-1")
    with pytest.raises(BadArguments, match=r"Did you mean O-1042\?"):
        use(tools.issue_refund, order_id="o-1042", amount=5, reason="x")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (tools.get_customer, {"customer_id": "C-0001"}),
        (tools.get_order, {"order_id": "O-1042"}),
        (tools.search_orders, {"customer_id": "C-0001"}),
        (tools.track_shipment, {"shipment_id": "S-1042-1"}),
        (tools.add_crm_note, {"customer_id": "C-0001", "text": "x"}),
        (tools.issue_refund, {"order_id": "O-1042", "amount": 1, "reason": "x"}),
        (tools.send_email, {"customer_id": "C-0001", "subject": "x", "body": "x"}),
    ],
    ids=lambda value: value.name if isinstance(value, Tool) else "",
)
def test_a_run_for_one_customer_reaches_no_other(tool: Tool, arguments: dict[str, Any]) -> None:
    with pytest.raises(Denied, match="not of customer C-0015"):
        tool.run(context("C-0015"), arguments)
    if tool.check:
        with pytest.raises(Denied, match="not of customer C-0015"):
            validate(tool, context("C-0015"), arguments)
    assert use(tool, customer="C-0001", **arguments)


def test_a_guess_does_not_name_the_orders_of_others() -> None:
    with pytest.raises(NotFound) as caught:
        use(tools.get_order, customer="C-0015", order_id="O-9042")
    assert "O-1042" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order_id": "O-1138", "amount": 500}, "USD 89.90 .* Ask for at most 89.90"),
        ({"order_id": "O-1103", "amount": 1}, "nothing is left to refund"),
        ({"order_id": "O-1042", "amount": 5, "currency": "USD"}, "paid in EUR, not USD"),
        ({"order_id": "O-1088", "amount": 20.5}, "JPY, which has no decimals"),
        ({"order_id": "O-1042", "amount": 20.005}, "EUR, which has 2 decimals"),
        ({"order_id": "O-1042", "amount": 0}, "0"),
    ],
)
def test_a_refund_that_cant_be_paid_is_refused_with_what_can(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArguments, match=message):
        use(tools.issue_refund, reason="x", **arguments)
    assert not LedgerEntry.objects.filter(run_id="run-1").exists()


def test_a_refund_is_shown_before_it_happens_and_paid_once() -> None:
    arguments: dict[str, Any] = {"order_id": "O-1042", "amount": 129.0, "reason": "lost"}
    assert tools.issue_refund.in_words(arguments) == "Refund EUR 129.00 to Marta Kowalska for order O-1042"
    assert tools.issue_refund.preview is not None
    preview = tools.issue_refund.preview(context(), arguments)
    assert [(change.field, change.before, change.after) for change in preview.changes] == [
        ("left to refund", "EUR 129.00", "EUR 0.00"),
        ("refunded so far", "EUR 0.00", "EUR 129.00"),
    ]
    assert not LedgerEntry.objects.filter(run_id="run-1").exists()

    first = use(tools.issue_refund, **arguments)
    assert first["refunded"] == {"amount": "129.00", "currency": "EUR"}
    assert tools.issue_refund.run(context(), arguments) == first
    entry = LedgerEntry.objects.get(run_id="run-1")
    assert (entry.kind, entry.amount, entry.customer_id, entry.text) == (
        "refund",
        Decimal(129),
        "C-0001",
        "lost",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"order_id": "O-1"},
        {"order_id": "O-1042", "amount": "many"},
        {"order_id": "O-1042", "amount": None},
    ],
)
def test_a_refund_has_words_even_for_arguments_that_are_no_good(arguments: dict[str, Any]) -> None:
    assert tools.issue_refund.in_words(arguments)


def test_words_for_people_hold_no_character_that_turns_the_text() -> None:
    Customer.objects.filter(pk="C-0001").update(name="Marta \u202eaksl\u202c")
    words = tools.issue_refund.in_words({"order_id": "O-1042", "amount": 1})
    assert words == "Refund EUR 1.00 to Marta aksl for order O-1042"


def test_a_key_stands_for_one_effect() -> None:
    use(tools.issue_refund, order_id="O-1042", amount=10, reason="x")
    with pytest.raises(ToolFailure, match="already stands for another refund"):
        tools.issue_refund.run(context(), {"order_id": "O-1042", "amount": 11, "reason": "x"})
    with pytest.raises(ToolFailure, match="already stands for another refund"):
        tools.send_email.run(context(), {"customer_id": "C-0001", "subject": "x", "body": "x"})


def test_mail_goes_to_the_address_on_record_and_is_shown_as_it_goes() -> None:
    arguments: dict[str, Any] = {"customer_id": "C-0002", "subject": "Your refund", "body": "Dear Liam"}
    assert tools.send_email.in_words(arguments) == "E-mail Liam O'Connor: Your refund"
    assert tools.send_email.preview is not None
    facts = tools.send_email.preview(context(), arguments).facts
    assert (facts["subject"], facts["body"]) == ("Your refund", "Dear Liam")
    sent = use(tools.send_email, **arguments)
    assert sent["to"] == facts["to"] == Customer.objects.get(pk="C-0002").email
    assert tools.send_email.run(context(), arguments) == sent
    assert LedgerEntry.objects.filter(kind="email").count() == 1


@pytest.mark.parametrize("subject", ["a\nBcc: everyone@example.com", "turned \u202e round", ""])
def test_a_subject_stays_in_its_line(subject: str) -> None:
    with pytest.raises(BadArguments, match="subject"):
        use(tools.send_email, customer_id="C-0002", subject=subject, body="x")


def test_a_note_is_written_once_and_belongs_to_one_customer() -> None:
    arguments: dict[str, Any] = {"customer_id": "C-0010", "order_id": "O-1126", "text": "New address"}
    first = use(tools.add_crm_note, **arguments)
    assert use(tools.add_crm_note, **arguments) == first
    assert CrmNote.objects.get(pk=first["note"]).author == "agent support"
    with pytest.raises(BadArguments, match="order O-1042 is of customer C-0001"):
        use(tools.add_crm_note, customer_id="C-0010", order_id="O-1042", text="x")


def test_the_database_refuses_to_change_the_ledger() -> None:
    entry = LedgerEntry.objects.filter(kind="refund").first()
    assert entry is not None
    for change in (entry.save, entry.delete):
        with pytest.raises(DatabaseError, match="the ledger only grows"), transaction.atomic():
            change()


@pytest.mark.django_db(transaction=True)
@pytest.mark.req("TOOL-4")
def test_one_key_in_twenty_threads_has_one_effect() -> None:
    def refund(_: int) -> str:
        try:
            return str(tools.issue_refund.run(context(), {"order_id": "O-1042", "amount": 40, "reason": "x"}))
        finally:
            connection.close()

    def mail(_: int) -> str:
        arguments = {"customer_id": "C-0001", "subject": "x", "body": "x"}
        try:
            return str(tools.send_email.run(context(key="key-2"), arguments))
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        for effect in (refund, mail):
            assert len(set(threads.map(effect, range(20)))) == 1
    assert LedgerEntry.objects.filter(run_id="run-1").count() == 2
    assert Order.objects.get(pk="O-1042").refundable == 89


@pytest.mark.django_db(transaction=True)
def test_refunds_in_twenty_threads_never_exceed_what_was_paid() -> None:
    def refund(number: int) -> str:
        try:
            arguments = {"order_id": "O-1042", "amount": 40, "reason": "x"}
            return str(tools.issue_refund.run(context(key=f"key-{number}"), arguments)["order_id"])
        except ToolFailure as failure:
            return str(failure)
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(refund, range(20)))
    assert answers.count("O-1042") == 3
    assert sum("Ask for at most 9.00" in answer for answer in answers) == 17
    assert Order.objects.get(pk="O-1042").refundable == 9
