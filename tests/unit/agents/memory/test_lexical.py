"""Vectors without a model: always the same, of length 1, and nearer for texts that share words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory.lexical import DIMENSIONS, vector

pytestmark = pytest.mark.req("MEM-5")


def similarity(one: str, other: str) -> float:
    first, second = vector(one), vector(other)
    assert first is not None
    assert second is not None
    return sum(a * b for a, b in zip(first, second, strict=True))


@given(st.text())
def test_any_text_has_one_vector_of_length_one_or_none(text: str) -> None:
    found = vector(text)
    assert found == vector(text)
    if found is None:
        return
    assert len(found) == DIMENSIONS
    assert math.isclose(math.hypot(*found), 1.0, abs_tol=1e-9)


@given(st.text(alphabet=st.characters(categories=("L", "N")), min_size=1, max_size=40))
def test_case_and_spacing_make_no_difference(word: str) -> None:
    assert similarity(f"  {word.upper()}\n", f"{word.upper()}") == pytest.approx(1.0)


def test_it_is_the_same_on_every_machine() -> None:
    found = vector("Refund the order")
    assert found is not None
    places = [place for place, value in enumerate(found) if value]
    assert (len(places), places[:5], round(found[places[0]], 6)) == (14, [56, 142, 156, 172, 199], -0.479601)


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        (
            "refund for a broken lamp",
            "the lamp arrived broken, refunded 40 EUR",
            "asked to change the delivery address",
        ),
        ("Rückerstattung der Lampe", "Lampe defekt, Rückerstattung veranlasst", "Lieferadresse geändert"),
        ("возврат за лампу", "лампа разбита, сделан возврат", "изменён адрес доставки"),
        ("ランプが壊れた返金", "壊れたランプを返金しました", "配送先住所の変更"),
        ("台灯坏了要退款", "台灯破损已退款", "更改送货地址"),
        ("ขอคืนเงินค่าโคมไฟ", "คืนเงินโคมไฟแล้ว", "เปลี่ยนที่อยู่จัดส่ง"),
    ],
)
def test_texts_that_share_words_are_nearer_in_any_language(query: str, near: str, far: str) -> None:
    assert similarity(query, near) > similarity(query, far) + 0.1


def test_words_with_different_endings_are_near() -> None:
    assert similarity("refunded", "refunds") > 0.2 > similarity("refunded", "parcel")


def test_no_words_have_no_direction() -> None:
    assert vector("") is None
    assert vector(" ?! ...") is None
