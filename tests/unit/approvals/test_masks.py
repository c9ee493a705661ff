"""Masking: by place, and wherever a value is repeated."""

import json
from typing import Any

import pytest

from agents.shorthand import in_line
from approvals.masks import MASKED, Masked, Scrubber, values_at, without
from approvals.policy import Action, Outcome, Rule, evaluate, masking_rules

pytestmark = pytest.mark.req("APR-5")
PAYMENT = {
    "iban": "DE89 3704 0044 0532 0130 00",
    "amount": 1240.5,
    "payees": [{"name": "Ada", "note": "x"}, {"name": "Bo"}],
}


def test_a_path_goes_through_lists_and_leaves_the_rest() -> None:
    assert values_at(PAYMENT, "payees.name") == ["Ada", "Bo"]
    masked = without(PAYMENT, ["payees.name", "iban", "no.such"])
    assert masked == {
        "iban": MASKED,
        "amount": 1240.5,
        "payees": [{"name": MASKED, "note": "x"}, {"name": MASKED}],
    }
    assert PAYMENT["payees"][0]["name"] == "Ada"  # type: ignore[index]


@pytest.mark.parametrize(
    "text",
    [
        "to DE89 3704 0044 0532 0130 00 today",
        "to de89370400440532013000.",
        "to DE89-3704-0044-0532-0130-00",
        b'{"iban": "DE89 3704\\u00a00044 0532 0130 00"}'.decode("unicode_escape"),
    ],
)
def test_an_account_number_is_found_however_it_is_spaced(text: str) -> None:
    assert "0532" not in Scrubber([PAYMENT["iban"]]).text(text)


@pytest.mark.parametrize(
    "written", ["1240.5", "1240.50", "1,240.50", "1.240,50", "1 240.50", "EUR1240.50", "1'240.5", "-1240.5"]
)
def test_an_amount_is_found_however_it_is_written(written: str) -> None:
    told = Scrubber([1240.5]).text(f"pay {written} to 1240 or 12405")
    assert MASKED in told
    assert told.endswith("to 1240 or 12405")


def test_documents_are_scrubbed_at_any_depth_and_short_words_only_as_words() -> None:
    scrubbed = Scrubber(["Bo", 7, True]).value({"Bo": ["Bob and Bo", 7, 7.0, 8, True, None], "n": "7 of 77"})
    assert scrubbed == {MASKED: [f"Bob and {MASKED}", MASKED, MASKED, 8, True, None], "n": f"{MASKED} of 77"}


def test_a_cut_text_shows_no_beginning_of_a_value() -> None:
    scrubber = Scrubber(["Ada Lovelace, 12 St James's Square", 1240500])
    assert (
        scrubber.text("{to: Ada Lovelace, 12 St Ja…; and Ad…, 1240…")
        == f"{{to: {MASKED}…; and Ad…, {MASKED}…"
    )
    assert scrubber.text("said by Ada") == "said by Ada"


def test_a_value_is_found_as_it_is_quoted() -> None:
    scrubber = Scrubber(["12 St James's Square\nLondon", 'Ada "Countess" L', "Zoë"])
    address = {"to": "12 St James's Square\nLondon", "who": 'Ada "Countess" L', "by": "Zoë"}
    told = {"who": "it's Ada", "to": "12 St James's Square"}
    for written in (json.dumps(address), json.dumps(address, ensure_ascii=False), in_line(address)):
        said = scrubber.text(written)
        assert not any(word in said for word in ("James", "Countess", "Zo")), said
    assert "James" not in Scrubber([told["to"]]).text(in_line(told))


def test_a_title_s_format_shows_nothing() -> None:
    assert f"EUR {Masked('x'):.2f} for {Masked('y'):>10}" == f"EUR {MASKED} for {MASKED}"


def test_a_mask_decides_nothing_and_holds_beside_whichever_rule_decides() -> None:
    mask = Rule(then=Outcome.MASK, tool="pay", mask=("iban",))
    far = Rule(then=Outcome.MASK, tool="pay", when="arguments.amount > 5000.0", mask=("amount",))
    unsure = Rule(then=Outcome.MASK, when="arguments.missing == 1", mask=("payees",))
    rules = [mask, Rule(then=Outcome.ALLOW, tool="pay"), far, unsure]
    action: Any = Action(tool="pay", effect="irreversible", arguments=PAYMENT)
    assert evaluate(action, rules).outcome is Outcome.ALLOW
    assert evaluate(action, [mask]).outcome is Outcome.REQUIRE
    assert masking_rules(action, rules) == [mask, unsure]
