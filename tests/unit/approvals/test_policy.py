"""The policy is pure: the first rule that matches decides, and nothing that goes wrong ever allows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import Action, Outcome, Rule, Verdict, check_condition, evaluate, stricter

OUTCOMES = st.sampled_from([Outcome.ALLOW, Outcome.REQUIRE, Outcome.DENY])  # masking decides nothing
EFFECTS = st.sampled_from(["read", "reversible", "irreversible"])
BROKEN = ("arguments.missing > 1", "arguments.amount > 'x'", "arguments.amount.deeper", "arguments.amount")


def action(**values: Any) -> Action:
    return Action(**{"tool": "pay", "effect": "irreversible", "arguments": {"amount": 40}, **values})


@pytest.mark.req("APR-1", "APR-5")
@given(effect=EFFECTS, tool=st.text(max_size=8))
def test_without_rules_only_a_read_is_allowed(effect: str, tool: str) -> None:
    verdict = evaluate(action(effect=effect, tool=tool), [])
    assert (verdict.outcome is Outcome.ALLOW) == (effect == "read")
    if verdict.outcome is Outcome.REQUIRE:
        assert (verdict.approvers, verdict.role) == (1, "operator")


@pytest.mark.req("APR-5")
@given(first=OUTCOMES, later=st.lists(OUTCOMES))
def test_the_first_rule_that_matches_decides(first: Outcome, later: list[Outcome]) -> None:
    rules = [Rule(then=Outcome.DENY, tool="other"), Rule(then=first), *(Rule(then=then) for then in later)]
    assert evaluate(action(), rules).outcome is first


@pytest.mark.req("APR-5")
def test_names_match_exactly() -> None:
    rules = [Rule(then=Outcome.ALLOW, tool="add")]
    assert evaluate(action(tool="add"), rules).outcome is Outcome.ALLOW
    for near in ("add_admin", "ADD", "add ", "", "ad"):
        assert evaluate(action(tool=near), rules).outcome is Outcome.REQUIRE


@pytest.mark.req("APR-5")
@pytest.mark.parametrize("when", BROKEN)
def test_a_condition_that_can_not_be_computed_never_allows(when: str) -> None:
    assert evaluate(action(), [Rule(then=Outcome.ALLOW, when=when)]).outcome is Outcome.REQUIRE
    for then in (Outcome.REQUIRE, Outcome.DENY):
        assert evaluate(action(effect="read"), [Rule(then=then, when=when)]).outcome is then


@pytest.mark.req("APR-5")
@pytest.mark.parametrize(
    ("amount", "tainted", "outcome"),
    [
        (50, False, Outcome.ALLOW),
        (50.0, False, Outcome.ALLOW),
        (50.01, False, Outcome.REQUIRE),
        (1, True, Outcome.REQUIRE),
        ("1", False, Outcome.REQUIRE),
        (None, False, Outcome.REQUIRE),
        (float("nan"), False, Outcome.REQUIRE),
        ([1], False, Outcome.REQUIRE),
    ],
)
def test_conditions_see_arguments_and_taint(amount: Any, tainted: bool, outcome: Outcome) -> None:
    rules = [Rule(then=Outcome.ALLOW, tool="pay", when="arguments.amount <= 50.0 && !tainted")]
    assert evaluate(action(arguments={"amount": amount}, tainted=tainted), rules).outcome is outcome


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.req("APR-1")
@given(arguments=st.dictionaries(st.text(max_size=6), JSON, max_size=4))
def test_no_arguments_talk_their_way_past_a_rule_or_break_it(arguments: dict[str, Any]) -> None:
    rules = [
        Rule(then=Outcome.ALLOW, when="arguments.amount <= 50.0 && !tainted"),
        Rule(then=Outcome.REQUIRE, approvers=2),
    ]
    verdict = evaluate(action(arguments=arguments), rules)
    small = arguments.get("amount")
    if verdict.outcome is Outcome.ALLOW:
        assert isinstance(small, int | float)
        assert small <= 50
    else:
        assert (verdict.outcome, verdict.approvers) == (Outcome.REQUIRE, 2)


@pytest.mark.req("AGT-1", "APR-5")
@pytest.mark.parametrize(
    "expression", ["arguments.amount <=", "argumets.amount > 1", "tainted &&& true", "nope"]
)
def test_a_condition_that_is_wrong_in_itself_is_found_before_it_is_saved(expression: str) -> None:
    assert check_condition(expression)


@pytest.mark.parametrize(
    "expression", ["arguments.amount > 1", "tainted", "tool == 'pay' && subject.vip", "now.getHours() > 18"]
)
def test_good_conditions_pass(expression: str) -> None:
    assert check_condition(expression) is None


@given(first=OUTCOMES, second=OUTCOMES, people=st.integers(1, 3))
def test_the_stricter_of_two_verdicts_lets_less_through(first: Outcome, second: Outcome, people: int) -> None:
    one, two = Verdict(first, "", ""), Verdict(second, "", "", approvers=people)
    chosen = stricter(one, two)
    strength = [Outcome.ALLOW, Outcome.REQUIRE, Outcome.DENY]
    assert strength.index(chosen.outcome) == max(strength.index(first), strength.index(second))
    if first == second:
        assert chosen.approvers == people
