"""Text can't hide anything from the person who reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.characters import has_hidden, reveal

pytestmark = pytest.mark.req("APR-2", "OPS-4")


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("pay \u202e0001", "U+202E"),
        ("zero\u200bwidth", "U+200B"),
        ("soft\u00adhyphen", "U+00AD"),
        ("\U000e0041tag", "U+E0041"),
        ("bell\x07", "U+0007"),
        ("blank letter \u3164", "U+3164"),
        ("carriage\rreturn", "U+000D"),
        ("variation\U000e0101", "U+E0101"),
        ("variation\ufe0f", "U+FE0F"),
        ("variation\u180b", "U+180B"),
        ("pile" + "\u0335" * 4, "U+0335"),
        ("pile" + "\u0335\u0489\u0903\u20dd", "U+20DD"),
    ],
)
def test_what_can_not_be_seen_is_named(text: str, mark: str) -> None:
    assert f">{mark}</span>" in reveal(text)
    assert has_hidden(text)


def test_a_wall_of_blanks_is_named_and_not_shown() -> None:
    assert ">300 blanks</span>wipe all" in reveal("ok" + " " * 300 + "wipe all")
    assert ">50 blanks</span>wipe all" in reveal("ok" + "\n" * 50 + "wipe all")


@pytest.mark.parametrize(
    "text",
    [
        "e\u0323\u0302\u0301 three marks",
        "नमस्ते",
        "ที่นี่",
        "Grüße an 山田 花子",
        "two\n\nparagraphs",
        "of a mail\r\n",
        "a\ttab",
        "O'Brien & Sons",
        "نص",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert not has_hidden(text)
    assert "hidden-char" not in reveal(text)


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    shown = reveal(text)
    assert shown.count("<") == 2 * shown.count('<span class="hidden-char"')
