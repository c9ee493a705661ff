"""When two questions are one."""

import pytest

from agents.memory.answers import names, normalised
from agents.memory.long_term import telling_words

pytestmark = pytest.mark.req("MOD-9")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("When do you open?", "when do  you OPEN"),
        ("Wann öffnet ihr?", "WANN ÖFFNET IHR ?"),
        ("\uff37hen do you open?", "When do you open?\n"),
    ],
)
def test_case_spacing_and_the_end_of_a_sentence_make_no_difference(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Is C good?", "Is C++ good?"), ("Is it -5 there?", "Is it 5 there?"), ("1.5 kg", "15 kg")],
)
def test_signs_within_a_question_do(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def test_numbers_and_identifiers_name_one_thing() -> None:
    assert names("Where is order A-17, please?") == names("Please say where order a-17 is") == {"a-17"}
    assert names("Where is order 17?") != names("Where is order 18?")
    assert names("When do you open?") == set()


def test_words_that_tell_something_are_looked_up_in_any_script() -> None:
    assert set(telling_words("Is the order A7 at the door? Да")) == {"order", "a7", "door", "да"}
    assert telling_words("a an of") == []
