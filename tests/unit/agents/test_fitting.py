"""Prompts that fit, whatever is put into them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config import ModelRef
from agents.providers.base import Message, ProposedCall, Usage
from agents.runtime.estimates import estimate, estimate_message
from agents.runtime.fitting import DoesNotFit, fit, shortened
from agents.runtime.window import answer_max, capacity

pytestmark = pytest.mark.req("RUN-6")

texts = st.one_of(st.text(max_size=400), st.text(alphabet="abc 12\n漢🙂é", min_size=500, max_size=5000))
calls = st.builds(
    lambda arguments: ProposedCall(id="1", name="look", arguments={"q": arguments}), st.text(max_size=3000)
)
messages = st.lists(
    st.one_of(
        st.builds(lambda text: Message(role="user", text=text), texts),
        st.builds(lambda text: Message(role="tool", text=text, tool_call_id="1"), texts),
        st.builds(
            lambda text, made: Message(role="assistant", text=text, tool_calls=tuple(made)),
            texts,
            st.lists(calls, max_size=3),
        ),
    ),
    max_size=12,
)


def model(window: int, max_tokens: int = 200) -> ModelRef:
    return ModelRef.model_validate(
        {"provider": "scripted", "model": "test", "window": window, "max_tokens": max_tokens}
    )


@settings(max_examples=60, deadline=None)
@given(messages, st.integers(1000, 6000), st.floats(0.75, 4.0))
def test_a_prompt_fits_or_is_refused_in_words(given: list[Message], window: int, correction: float) -> None:
    task = Message(role="user", text="The task: look.")
    try:
        fitted = fit([task, *given], model=model(window), system="You look.", correction=correction)
    except DoesNotFit:
        fitted = None
    if fitted is None:  # only where there is no room for the least of each
        assert len(given) * 40 + 100 > window / correction / 4
        return
    assert fitted.messages[0] == task
    assert [message.role for message in fitted.messages[1:]] == [message.role for message in given]
    assert fitted.tokens <= capacity(model(window))
    assert fitted.tokens + fitted.max_tokens <= window
    total = estimate("You look.") + sum(estimate_message(message) for message in fitted.messages)
    assert total == fitted.estimated


def test_what_fits_is_left_alone() -> None:
    told = (Message(role="user", text="Task"), Message(role="tool", text="x" * 900, tool_call_id="1"))
    assert fit(told, model=model(4000), system="s").messages == told


def test_one_long_message_is_cut_to_its_share_and_the_others_stay() -> None:
    told = [
        Message(role="user", text="Task"),
        Message(role="assistant", text="I look."),
        Message(role="tool", text="begin " + "word " * 50_000 + " end", tool_call_id="1"),
        Message(role="assistant", text="I looked."),
    ]
    fitted = fit(told, model=model(4000), system="s")
    assert [fitted.messages[place] for place in (0, 1, 3)] == [told[place] for place in (0, 1, 3)]
    cut = fitted.messages[2].text
    assert cut.startswith("begin word")
    assert cut.endswith(" end")
    assert "characters left out" in cut
    assert estimate(cut) <= capacity(model(4000)) / 3


def test_a_task_that_can_t_fit_says_so() -> None:
    with pytest.raises(
        DoesNotFit, match=r"instructions, tools and task alone take about .* scripted:test has room"
    ):
        fit([Message(role="user", text="word " * 9000)], model=model(2000), system="s")


def test_an_answer_longer_than_the_window_leaves_room_for_a_prompt() -> None:
    greedy = model(1000, max_tokens=4096)
    assert (capacity(greedy), answer_max(greedy)) == (500, 500)


@given(texts, st.integers(20, 500))
def test_shortened_words_have_no_more_tokens_than_allowed(text: str, tokens: int) -> None:
    assert estimate(shortened(text, tokens)) <= tokens


def test_what_a_provider_counted_is_what_is_told() -> None:
    fitted = fit([Message(role="user", text="Task")], model=model(2000), system="s")
    assert fitted.use()["tokens"] == fitted.tokens
    counted = fitted.use(Usage(input=300, cache_read=100, cache_write=100, output=7))
    assert (counted["tokens"], counted["used"], counted["window"]) == (500, 0.25, 2000)
    assert counted["estimated"] == fitted.estimated


# About what the tokenisers in use make of these; the estimate may be too high, within reason.
COUNTED = [
    ("The parcel was delivered to the wrong address, so please refund the order.", 15),
    ("Die Rückerstattung wurde veranlasst und sollte in drei Tagen ankommen.", 17),
    (json.dumps({"order_id": "A-1932", "amount": 40.0, "currency": "EUR", "items": [1, 2, 3]}), 33),
    ("返金は三日以内に行われます。", 14),
    ("Возврат будет сделан в течение трёх дней.", 17),
    ("3f9a1c7e5b2d48f0a6c4e8b17d905f23", 26),
    ("🙂🙂🙂🙂", 8),
]


@pytest.mark.parametrize(("text", "counted"), COUNTED)
def test_estimates_are_high_rather_than_low(text: str, counted: int) -> None:
    assert counted <= estimate(text) <= 3 * counted


@given(st.text())
def test_no_text_has_more_than_its_bytes_allow(text: str) -> None:
    assert 0 <= estimate(text) <= 3 * len(text.encode("utf-8", "replace")) + 1
