"""Results beside those that were accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.evals.baseline import compare

pytestmark = pytest.mark.req("EVL-1")

RESULTS = st.dictionaries(st.sampled_from("abcdef"), st.booleans())


def test_each_case_is_compared_by_its_name() -> None:
    before = {"kept": True, "broken": True, "mended": False, "bad": False, "dropped": True}
    now = {"new": False, "fresh": True, "kept": True, "broken": False, "mended": True, "bad": False}
    found = compare(now, before)
    assert found.regressions == ("new", "broken")
    assert found.improvements == ("mended",)
    assert found.gone == ("dropped",)


def test_a_case_that_goes_on_is_neither_worse_nor_better_nor_gone() -> None:
    found = compare({"first": None, "second": None}, {"first": True, "second": False})
    assert (found.regressions, found.improvements, found.gone) == ((), (), ())


@given(RESULTS)
def test_nothing_changes_against_itself_and_all_that_fails_is_new_without_a_baseline(
    now: dict[str, bool],
) -> None:
    same = compare(now, now)
    assert (same.regressions, same.improvements, same.gone) == ((), (), ())
    assert set(compare(now, {}).regressions) == {case for case, passed in now.items() if not passed}


@given(RESULTS, RESULTS)
def test_no_failure_is_silent(now: dict[str, bool], before: dict[str, bool]) -> None:
    found = compare(now, before)
    for case, passed in now.items():
        assert (case in found.regressions) == (not passed and before.get(case) is not False)
        assert (case in found.improvements) == (passed and before.get(case) is False)
