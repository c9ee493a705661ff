"""What an answer states that nothing which was read holds, and what people write without a source."""

import string
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.guardrails.numbers import readings
from agents.guardrails.verification import verify

pytestmark = pytest.mark.req("RUN-10")

ORDER = {
    "order_id": "O-1042",
    "customer": {"email": "kim@example.org", "phone": "+49 30 901820"},
    "total": 1240.0,
    "paid_at": "2026-03-01T10:22:00Z",
    "items": [{"sku": "KB-200-DE", "price": 89.9, "quantity": 2}, {"sku": "MS-17", "price": 12.5}],
    "tracking": "1Z999AA10123456784",
    "note": "Parcel 00340434161094042557 left on 2 March; customs EUR 1.019,30 are paid.",
}


def findings(answer: str, *sources: Any) -> list[str]:
    return [finding.text for finding in verify(answer, sources or (ORDER,)).findings]


@pytest.mark.parametrize(
    "answer",
    [
        "Your order O-1042 is on its way: 1Z999AA10123456784.",
        "Order o-1042 (O 1042, #1042, **O-1042**, _o1042_) was paid.",
        "We write to Kim@Example.org.",
        "The total is EUR 1,240.00.",
        "Es sind 1.240,00 €.",
        "You paid 1240 EUR, or $1'240.00, or 1 240,00 EUR.",
        "Customs were 1,019.30 EUR, about 1019 EUR.",
        "Two keyboards at 89.90 are 179.80; with the mouse (12,50 €) that makes 192.30 USD.",
        "The parcel number is 00340434161094042557 (0034 0434 1610 9404 2557).",
    ],
)
def test_what_was_read_may_be_said_in_any_notation(answer: str) -> None:
    verification = verify(answer, [ORDER])
    assert verification.checked
    assert not verification.findings


@pytest.mark.parametrize(
    ("answer", "made_up"),
    [
        ("Your order O-1043 is on its way.", "O-1043"),
        ("Your order O-104 is on its way.", "O-104"),
        ("The return is RMA-77.", "RMA-77"),
        ("See 550e8400-e29b-41d4-a716-446655440000.", "550e8400-e29b-41d4-a716-446655440000"),
        ("I wrote to kim@example.com.", "kim@example.com"),
        ("Tracking: 1Z999AA10123456785.", "1Z999AA10123456785"),
        ("The reference is 88120934.", "88120934"),
        ("The reference is #88120.", "#88120"),
        ("Call 112-3456789-1234567.", "112-3456789-1234567"),
        ("I refunded EUR 55.10.", "EUR 55.10"),
        ("I refunded 55,10 €.", "55,10 €"),
        ("I refunded $55.", "$55"),
        ("I refunded 4 711,00 EUR.", "4 711,00 EUR"),
        ("It was 1,241.00 in all.", "1,241.00"),
        ("There are 7,431 of them.", "7,431"),
    ],
)
def test_what_was_not_read_is_found(answer: str, made_up: str) -> None:
    assert findings(answer) == [made_up]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "It is done.",
        "1. Look at it\n2) Send it back within 30 days\n10. Wait 3-5 business days.",
        "That is 15% less, or 12.75 percent, since 2024 and in mid-2025.",
        "Come on 2026-05-04 at 10:30am, or on 04.05.2026, or at 2026-05-04T10:30:00Z.",
        "It takes 24h, 12.50 hours or 1.25 kg; a 30-day return, the 2nd one, 16GB, 1080p, 4x4, 401k.",
        "Version 3.11 of v2.10.4 runs on 10.0.0.1.",
        "A top-10 B2B product for under-18s, H2O, mp3, Q3, COVID-19.",
        "We have 12 left, and 1042 were sold.",
    ],
)
def test_what_needs_no_source_is_left_alone(answer: str) -> None:
    assert verify(answer, [{}]).checked == 0


def test_smallest_units_and_their_sums() -> None:
    assert not findings("12.40 EUR and 3.10 EUR, 15.50 EUR in all", {"amount_cents": [1240, 310]})


def test_differences_and_the_sum_of_many() -> None:
    read = [{"price": 10.25 + n} for n in range(40)]
    total = sum(item["price"] for item in read)
    assert not findings(f"In all {total:,.2f} EUR.", read)
    assert not findings("In all 60.00 EUR.", {"prices": [12.0] * 5})
    assert not findings("37.50 EUR are left", {"balance": 50.0, "fee": 12.5})


def test_sources_are_texts_and_json_of_any_shape() -> None:
    assert not findings("O-7781", {"O-7781": {}})
    assert not findings("O-7781", "about O-7781")
    assert not findings("O-7781", None, [["x", {"y": ["O-7781"]}]])
    assert findings("O-7781", None, 5, True, float("nan"), float("inf"), 10**40, "1" * 400)


@pytest.mark.parametrize(
    ("number", "values"),
    [
        ("12", ["12"]),
        ("12.5", ["12.5"]),
        ("12,50", ["12.50"]),
        ("1,240", ["1240", "1.240"]),
        ("1.240.000", ["1240000"]),
        ("1,240.5", ["1240.5"]),
        ("1.240,50", ["1240.50"]),
        ("1'240.50", ["1240.50"]),
        ("1 240", ["1240"]),
    ],
)
def test_a_written_number_means_what_a_reader_may_take_it_for(number: str, values: list[str]) -> None:
    assert readings(number) == {Decimal(value) for value in values}


words = st.text(string.ascii_letters + " .,-:;!?()*#\n", max_size=60)
ids = st.from_regex(r"\A[A-Z]{1,3}-[0-9]{3,9}\Z")
cents = st.integers(1, 10**9)
NOTATIONS = (
    lambda value: f"{value:,.2f}",
    lambda value: f"{value:.2f}",
    lambda value: f"EUR {value:,.2f}",
    lambda value: f"{value:,.2f} €".translate(str.maketrans(",.", ".,")),
    lambda value: f"${value}",
)


@given(words, ids, words, words, words)
def test_what_stands_in_a_source_is_never_found(
    before: str, name: str, after: str, left: str, right: str
) -> None:
    assert name not in findings(f"{before} {name} {after}", {"text": f"{left} {name} {right}"})


@given(words, ids, words)
def test_an_identifier_without_a_source_is_always_found(before: str, name: str, after: str) -> None:
    assert name in findings(f"{before} {name} {after}", {})


@given(cents, st.sampled_from(NOTATIONS), st.sampled_from(NOTATIONS))
def test_an_amount_is_found_again_in_every_notation(amount: int, one: Any, other: Any) -> None:
    value = Decimal(amount) / 100
    assert not findings(f"It is {one(value)} now.", {"text": f"It was {other(value)} then."})
    assert not findings(f"It is {one(value)} now.", {"value": float(value)})


@given(st.text(max_size=300), st.recursive(st.none() | st.floats() | st.integers() | st.text(), st.lists))
def test_any_text_can_be_checked_against_any_source(answer: str, source: Any) -> None:
    verification = verify(answer, [source])
    assert len(verification.findings) <= verification.checked
    assert not verify(answer, [answer]).findings
