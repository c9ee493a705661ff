"""Prompts never grow beyond the window: large results stand apart, old steps are summarised, the task stays."""

from typing import Any

import pytest

from agents.models import Run, StepKind, StoredResult, ToolCall
from agents.providers.base import FailureKind, ModelFailure, ModelRequest, ModelResponse, Usage
from agents.providers.scripted import call, say, together
from agents.runtime import context
from agents.runtime.estimates import estimate
from agents.runtime.stretch import Stretch
from tests import world
from tests.integration.agents.conftest import Play
from traces.models import Span, SpanBody

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-6")]

SMALL = {"provider": "scripted", "model": "test", "window": 4000, "max_tokens": 400}
TOOLS = [
    {"python": f"tests.tools.{name}"} for name in ("pull_archive", "read_page", "get_balance", "read_mail")
]


def publish(**changes: Any) -> None:
    values: dict[str, Any] = {
        "models": {"executor": SMALL},
        "tools": TOOLS,
        "limits": {"turns": 60, "tokens": 10_000_000, "repeats": 100},
        "guardrails": {"verify": "off"},
    }
    world.publish_agent(**values | changes)


def size(request: ModelRequest) -> int:
    """Characters of all that a request says."""
    words = [request.system, *(message.text for message in request.messages)]
    made = [call.raw or str(call.arguments) for message in request.messages for call in message.tool_calls]
    return sum(map(len, words + made))


def strict(answer: Any) -> Any:
    """A model that refuses an overlong prompt, as real ones do. A token has four characters at the most here."""

    def respond(request: ModelRequest) -> ModelResponse:
        if size(request) / 4 + request.max_tokens > SMALL["window"]:  # type: ignore[operator]
            raise ModelFailure(FailureKind.INVALID_REQUEST, "prompt is too long", status=400)
        response: ModelResponse = answer(request)
        return response

    return respond


def test_a_result_of_5_mb_stands_apart_and_the_run_goes_on(play: Play) -> None:
    def answer(request: ModelRequest) -> ModelResponse:
        told = [message.text for message in request.messages if message.role == "tool"]
        if not told:
            return call("pull_archive")
        if len(told) == 1:
            stored = StoredResult.objects.get()
            assert str(stored.pk) in told[0]
            return call("recall_result", reference=str(stored.pk), query="acme owes")
        assert "acme owes 17.50" in told[1]
        return say("Acme owes 17.50.")

    model = play(answer)
    world.publish_agent(tools=TOOLS)
    run = world.carry_on(world.start(trusted_input=True))
    assert (run.status, run.output) == ("completed", "Acme owes 17.50."), run.reason
    stored = StoredResult.objects.get()
    assert stored.size == len(stored.text) > 4_900_000
    first, second = ToolCall.objects.filter(run=run).order_by("step__seq")
    assert first.result is not None
    assert first.result["reference"] == str(stored.pk)
    assert first.result["size"] == stored.size
    assert len(str(first.result)) < 2000
    assert len(str(second.result)) < 2000
    assert second.effect == "read"
    assert run.taint_sources == []  # both tools are trusted, and so is what the first one's result says
    bodies = SpanBody.objects.filter(span__trace_id=run.trace_id)
    assert max(len(str(body.output)) + len(str(body.input)) for body in bodies) < 20_000
    assert max(size(request) for request in model.requests) < 20_000
    assert [schema.name for schema in model.requests[0].tools] == sorted(ref["python"][12:] for ref in TOOLS)
    assert "recall_result" in [schema.name for schema in model.requests[1].tools]


def test_a_stored_result_is_read_page_by_page_and_only_by_its_run(play: Play) -> None:
    pages: list[dict[str, Any]] = []

    def answer(request: ModelRequest) -> ModelResponse:
        told = [message for message in request.messages if message.role == "tool"]
        if not told:
            return call("pull_archive", size=20_000)
        reference = str(StoredResult.objects.latest("created_at").pk)
        if len(told) == 1:
            return call("recall_result", reference=reference)
        if len(told) == 2:
            return together(
                call("recall_result", reference=reference, offset=4000),
                call("recall_result", reference=reference, query="entry"),
                call("recall_result", reference="not one"),
                call("recall_result", reference=str(other.pk)),
            )
        return say("Read.")

    world.publish_agent(tools=TOOLS)
    play([call("pull_archive"), say("Pulled.")])
    assert world.carry_on(world.start()).status == "completed"
    other = StoredResult.objects.get()
    play(answer)
    run = world.carry_on(world.start())
    assert run.status == "completed", run.reason
    results: list[Any] = [
        row.result for row in ToolCall.objects.filter(run=run).order_by("step__seq", "index")
    ]
    pages = [result["data"] for result in results[1:4]]
    text = StoredResult.objects.get(call__run=run).text
    assert (pages[0]["text"], pages[0]["next_offset"]) == (text[:4000], 4000)
    assert (pages[1]["text"], pages[1]["next_offset"]) == (text[4000:8000], 8000)
    assert len(pages[2]["hits"]) == 5
    assert pages[2]["hits"][0]["text"] == text[: pages[2]["next_offset"]][: len(pages[2]["hits"][0]["text"])]
    assert [result["type"] for result in results[4:]] == ["not_found", "not_found"]
    assert str(StoredResult.objects.get(call__run=run).pk) in results[4]["message"]


def reading(pages: int) -> Any:
    """A model that reads so many pages, one a turn, and a summariser that counts."""
    read: list[int] = []

    def answer(request: ModelRequest) -> ModelResponse:
        if request.metadata["role"] == "summariser":
            return say(f"Pages up to {len(read)} were read: nothing but a fox.")
        if len(read) < pages:
            read.append(len(read) + 1)
            return together(say(f"I read page {len(read)}."), call("read_page", number=len(read)))
        return say("All read.")

    return answer


def test_old_steps_are_summarised_and_the_task_stays(play: Play) -> None:
    model = play(strict(reading(20)))
    publish(models={"executor": SMALL, "summariser": {**SMALL, "model": "small"}})
    run = world.carry_on(world.start(input="Read all the pages of the book."))
    assert (run.status, run.output) == ("completed", "All read."), run.reason
    summaries = list(run.steps.filter(kind=StepKind.SUMMARY).order_by("seq"))
    assert len(summaries) >= 3
    assert [step.payload["by"] for step in summaries] == ["summariser"] * len(summaries)
    untils = [step.payload["until"] for step in summaries]
    assert untils == sorted(set(untils))
    executor = [request for request in model.requests if request.metadata["role"] == "executor"]
    asked = [request for request in model.requests if request.metadata["role"] == "summariser"]
    assert {request.model for request in asked} == {"small"}
    assert all("Read all the pages of the book." in request.messages[0].text for request in executor)
    last = executor[-1].messages
    assert summaries[-1].payload["text"] in last[1].text
    assert "BEGIN DATA" in last[1].text
    assert not any(summary.payload["text"] in message.text for summary in summaries[:-1] for message in last)
    # The second summary folds the first.
    assert summaries[0].payload["text"] in asked[1].messages[0].text
    # What follows the summary stands there in full, and the latest turn always does.
    assert any(message.text.startswith('{"data": "Page 20:') for message in last[-2:])
    assert run.turns == 21
    spans = Span.objects.filter(
        trace_id=run.trace_id, operation="chat", attributes__has_key="gatehouse.context.used"
    )
    assert spans.count() == len(model.requests)
    turn = run.steps.filter(kind=StepKind.MODEL).latest("seq")
    assert turn.payload["context"]["window"] == 4000
    assert 0 < turn.payload["context"]["used"] < 1


@pytest.mark.parametrize("answer", [ModelFailure(FailureKind.OVERLOADED, "busy"), say("  ")])
def test_a_summariser_that_fails_leaves_beginnings_and_ends_nothing(
    play: Play, answer: ModelResponse | ModelFailure
) -> None:
    read = reading(12)

    def respond(request: ModelRequest) -> ModelResponse:
        if request.metadata["role"] != "summariser":
            response: ModelResponse = read(request)
            return response
        if isinstance(answer, ModelFailure):
            raise answer
        return answer

    play(strict(respond))
    publish()
    run = world.carry_on(world.start())
    assert (run.status, run.output) == ("completed", "All read."), run.reason
    summaries = run.steps.filter(kind=StepKind.SUMMARY)
    assert summaries
    assert {step.payload["by"] for step in summaries} == {"shortening"}
    assert "read_page" in summaries[0].payload["text"]
    assert "Page 1:" in summaries[0].payload["text"]


def test_what_a_crash_leaves_between_a_summary_and_the_next_turn_gives_the_same_prompt(play: Play) -> None:
    model = play(strict(reading(20)))
    publish()
    run = world.carry_on(world.start())
    summary = run.steps.filter(kind=StepKind.SUMMARY).earliest("seq")
    turn = [request for request in model.requests if request.metadata["role"] == "executor"][summary.seq - 1]
    run.steps.filter(seq__gt=summary.seq).delete()
    Run.objects.filter(pk=run.pk).update(fence=2)  # as another worker's claim does
    stretch = Stretch.load(Run.objects.select_related("version__agent").get(pk=run.pk))
    assert context.conversation(stretch) == turn.messages
    assert not stretch.snapshot().overfull


def test_instructions_are_said_again_and_the_beginning_of_the_prompt_stays(play: Play) -> None:
    model = play([*(call("get_balance", account="acme") for _ in range(9)), say("1240.")])
    world.publish_agent(
        tools=TOOLS, context={"reinforce_every": 4}, limits={"repeats": 50}, guardrails={"verify": "off"}
    )
    run = world.carry_on(world.start())
    assert run.status == "completed", run.reason
    for earlier, later in zip(model.requests, model.requests[1:], strict=False):
        assert later.system == earlier.system
        assert later.tools == earlier.tools
        assert later.messages[: len(earlier.messages)] == earlier.messages
    reminders = [
        place for place, message in enumerate(model.requests[-1].messages) if "# Reminder" in message.text
    ]
    assert reminders == [5, 10, 15, 20]
    assert "Look before you pay." in model.requests[-1].messages[5].text


def test_forty_large_results_at_once_are_shortened_to_fit(play: Play) -> None:
    many = together(*(call("read_page", number=number) for number in range(40)))
    turns = iter([many, say("Too much to read.")])
    model = play(strict(lambda request: next(turns)))
    publish()
    run = world.carry_on(world.start())
    assert (run.status, run.output) == ("completed", "Too much to read."), run.reason
    assert sum(message.role == "tool" for message in model.requests[-1].messages) == 40
    assert all(
        "characters left out" in message.text
        for message in model.requests[-1].messages
        if message.role == "tool"
    )


def test_a_task_that_fits_no_window_hands_over_in_words(play: Play) -> None:
    model = play([say("never asked")])
    publish(guardrails={"input_max": 100_000, "verify": "off"})
    run = world.carry_on(world.start(input="word " * 10_000))
    assert run.status == "escalated"
    assert "The prompt can't be made to fit: instructions, tools and task alone take about" in run.reason
    assert model.requests == []


@pytest.mark.parametrize(
    "words",
    ["prompt is too long: 9000 tokens > 8000 maximum", "This model's maximum context length is 8000 tokens"],
)
def test_a_window_that_is_smaller_than_it_was_said_to_be_is_found_out(play: Play, words: str) -> None:
    turns = iter([together(*(call("read_page", number=number) for number in range(20))), say("All read.")])

    def respond(request: ModelRequest) -> ModelResponse:
        if size(request) > 12_000:
            raise ModelFailure(FailureKind.INVALID_REQUEST, f"openai answered 400: {words}", status=400)
        return next(turns)

    model = play(respond)
    publish(models={"executor": {**SMALL, "window": 10_000}})
    run = world.carry_on(world.start())
    assert (run.status, run.output) == ("completed", "All read."), run.reason
    assert 3 <= len(model.requests) <= 5


def test_a_provider_that_counts_more_makes_later_estimates_higher(play: Play) -> None:
    read = reading(6)

    def respond(request: ModelRequest) -> ModelResponse:
        response: ModelResponse = read(request)
        counted = 2 * (
            estimate(request.system) + sum(estimate(message.text) + 20 for message in request.messages)
        )
        return ModelResponse(
            text=response.text,
            finish=response.finish,
            usage=Usage(input=counted, output=10),
            model="test",
            tool_calls=response.tool_calls,
        )

    play(respond)
    publish()
    run = world.carry_on(world.start())
    assert run.status == "completed", run.reason
    first = run.steps.filter(kind=StepKind.SUMMARY).earliest("seq")
    turns = run.steps.filter(kind=StepKind.MODEL, seq__lt=first.seq)
    assert max(turn.payload["context"]["used"] for turn in turns) < 0.9
