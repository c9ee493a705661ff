"""Suite files: what is taken, and what is refused, where and in which words."""

import pytest

from agents.evals.config import Times
from agents.evals.files import parse
from agents.exceptions import BadConfig

pytestmark = pytest.mark.req("EVL-1")

GOOD = """\
suite: teller-golden
agent: teller
cases:
  - case: pays what is owed
    input: Pay acme.
    subject: {customer_id: C-1}
    answers:
      get_balance: [{amount: 5}]
    expect:
      status: completed
      calls:
        - {tool: pay, arguments: {account: acme}, count: 1}
        - {tool: get_balance, count: {max: 3}}
      asks: []
      max_turns: 5
  - case: sends nothing
    input: Say hello.
    expect: {no_calls: [pay]}
"""


def test_a_good_file_is_a_name_and_its_cases() -> None:
    name, config = parse(GOOD)
    first, second = config.cases
    assert (name, config.agent) == ("teller-golden", "teller")
    assert [call.count for call in first.expect.calls] == [Times(min=1, max=1), Times(max=3)]
    assert (first.expect.asks, second.expect.asks) == ((), None)
    assert first.answers == {"get_balance": ({"amount": 5},)}


def test_what_is_stored_reads_as_what_was_written() -> None:
    _, config = parse(GOOD)
    for case in config.cases:
        assert type(case).model_validate(case.model_dump(mode="json", exclude_defaults=True)) == case


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("suite: teller-golden", "suite: Golden", 1, "suite: name the suite"),
        ("agent: teller\n", "", 1, "agent: this key is missing."),
        ("agent: teller", "agent: ''", 2, "agent: write something here: it is empty."),
        ("    input: Pay acme.\n", "", 4, "cases.0.input: this key is missing."),
        ("no_calls", "no_call", 18, "unknown key 'no_call'; did you mean 'no_calls'?"),
        ("completed", "complete", 10, "'complete' is not known; did you mean 'completed'?"),
        ("count: 1", "count: one", 12, "'one' is no number of calls: write 2, or {min: 1, max: 3}."),
        ("count: 1", "count: true", 12, "True is no number of calls"),
        ("{max: 3}", "{min: 4, max: 3}", 13, "min is 4 and max is 3: no number is both."),
        ("count: 1", "count: -1", 12, "write at least 0."),
        ("{no_calls: [pay]}", "{}", 18, "nothing is expected, so that nothing can fail"),
        ("sends nothing", "pays what is owed", 16, "a case before is named 'pays what is owed' already."),
        ("max_turns: 5", "max_turns: 0", 15, "write at least 1."),
        ("amount: 5", "amount: .nan", 1, "it holds .nan or .inf, for which JSON has no word."),
        ("max_turns: 5", "max_cost_usd: .inf", 15, "write a number"),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, words: str) -> None:
    assert old in GOOD
    with pytest.raises(BadConfig) as caught:
        parse(GOOD.replace(old, new), source="golden.yaml")
    told = str(caught.value)
    assert words in told
    assert told.startswith(f"golden.yaml:{line}:") or "JSON" in words


@pytest.mark.parametrize(
    "text", ["", "[]", "suite: 5", "suite: golden\nagent: teller\ncases: []", "suite: [", "a"]
)
def test_what_is_no_suite_is_refused(text: str) -> None:
    with pytest.raises(BadConfig):
        parse(text)
