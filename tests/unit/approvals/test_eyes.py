"""Whose word is enough: pure."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.eyes import Needs, Voice, lacking, uncovered
from approvals.policy import RANK, Outcome, Rule, Verdict, evaluate, stricter
from tests.unit.approvals.test_policy import action

ANA, BEN, ADA = Voice(1, "ana", "operator"), Voice(2, "ben", "operator"), Voice(3, "ada", "admin")
ROLES = st.lists(st.sampled_from(RANK), max_size=5)


@pytest.mark.req("APR-5")
def test_each_role_needs_a_person_of_its_own() -> None:
    needs = Needs(2, "operator", ("operator", "admin"))
    assert lacking([ANA], needs) == "1 more must say yes"
    assert "role admin" in lacking([ANA, BEN], needs)
    assert lacking([ANA, ADA], needs) == ""
    assert lacking([Voice(4, "alma", "admin"), ADA], needs) == ""  # an admin serves as operator


@pytest.mark.req("APR-5")
@given(wanted=ROLES, held=ROLES)
def test_roles_are_covered_where_some_assignment_covers_them(wanted: list[str], held: list[str]) -> None:
    def fits(people: tuple[str, ...]) -> bool:
        return all(RANK.index(has) >= RANK.index(role) for has, role in zip(people, wanted, strict=True))

    possible = any(fits(people) for people in permutations(held, len(wanted)))
    assert (uncovered(wanted, held) == "") == possible


@pytest.mark.req("APR-4", "APR-5")
def test_who_has_a_stake_counts_and_is_not_enough() -> None:
    needs = Needs(1, "operator", stakes=((1, "changed it"),), four_eyes=True)
    assert lacking([ANA], needs) == "somebody else must say yes too, since ana changed it"
    assert lacking([ANA, BEN], needs) == lacking([BEN], needs) == ""


VERDICTS = st.builds(
    Verdict,
    st.sampled_from([Outcome.ALLOW, Outcome.REQUIRE, Outcome.DENY]),
    st.just("rule"),
    st.just("why"),
    st.integers(1, 4),
    st.sampled_from(RANK),
    roles=ROLES.map(tuple),
    denials=st.integers(1, 3),
    hold=st.integers(0, 60),
)


@pytest.mark.req("APR-4", "APR-5")
@given(first=VERDICTS, second=VERDICTS)
def test_the_stricter_of_two_verdicts_asks_all_that_either_asks(first: Verdict, second: Verdict) -> None:
    chosen = stricter(first, second)
    if first.outcome == second.outcome == Outcome.REQUIRE:
        for each in (first, second):
            assert chosen.approvers >= each.approvers
            assert RANK.index(chosen.role) >= RANK.index(each.role)
            assert uncovered(each.roles, chosen.roles) == ""
            assert chosen.denials <= each.denials
            assert chosen.hold >= each.hold
    else:
        assert chosen in (first, second)


@pytest.mark.req("APR-5")
def test_a_rule_with_roles_asks_as_many_people() -> None:
    rule = Rule(then=Outcome.REQUIRE, roles=("operator", "admin"), hold=30, denials=2)
    verdict = evaluate(action(), [rule])
    assert (verdict.approvers, verdict.role, verdict.hold, verdict.denials) == (2, "operator", 30, 2)
    assert str(rule) == "any call: ask one operator and one admin, 2 must say no, held 30 s"
