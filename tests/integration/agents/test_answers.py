"""Answers that are given again: to the same question of the same subject, and never where anything was done."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.models import CachedAnswer, Memory, Run
from agents.providers.scripted import call, say, together
from tests import world
from tests.integration.agents.conftest import Play
from traces.models import Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("MOD-9")]

ANNA, BOB = {"customer": "anna"}, {"customer": "bob"}


def publish(**changes: Any) -> None:
    values: dict[str, Any] = {"answer_cache": {}, "guardrails": {"verify": "off"}}
    world.publish_agent(**values | changes)


def ask(question: str, subject: dict[str, Any] = ANNA, **values: Any) -> Run:
    return world.carry_on(world.start(input=question, subject=subject, **values))


def test_the_same_question_is_answered_without_a_model(play: Play) -> None:
    model = play([together(say("I look."), call("get_balance", account="acme")), say("1240 EUR.")])
    publish()
    first = ask("What is acme's balance?")
    assert (first.status, first.output) == ("completed", "1240 EUR."), first.reason
    second = ask("what is  Acme's BALANCE")
    assert (second.status, second.output) == ("completed", "1240 EUR.")
    assert second.reason == f"The same question was answered before, in run {first.pk}: no model was asked."
    assert (second.turns, second.total_tokens, float(second.cost_usd)) == (0, 0, 0.0)
    assert len(model.requests) == 2
    hit = Span.objects.select_related("body").get(trace_id=second.trace_id, name="search_answers")
    assert hit.attributes["gatehouse.cache.hit"] is True
    assert hit.body.output is not None
    assert hit.body.output["run"] == str(first.pk)
    miss = Span.objects.get(trace_id=first.trace_id, name="search_answers")
    assert miss.attributes["gatehouse.cache.hit"] is False
    assert CachedAnswer.objects.count() == 1  # a given answer is not kept anew
    assert not Span.objects.filter(trace_id=second.trace_id, operation="chat").exists()


def test_a_question_of_the_same_meaning_is_too_but_not_one_that_names_something_else(play: Play) -> None:
    model = play([say("By Friday."), say("Order 18: never.")])
    publish(answer_cache={"similarity": 0.7})
    first = ask("When will the parcel of order 17 arrive?")
    near = ask("When will the parcel of my order 17 arrive, please?")
    assert near.output == "By Friday."
    assert "A question of the same meaning (" in near.reason
    assert str(first.pk) in near.reason
    assert ask("When will the parcel of order 18 arrive?").output == "Order 18: never."
    assert len(model.requests) == 2


def test_with_similarity_1_only_the_same_words_count(play: Play) -> None:
    play([say("By Friday."), say("By Monday.")])
    publish(answer_cache={"similarity": 1})
    ask("When will it arrive?")
    assert ask("When will it arrive, please?").output == "By Monday."


def test_answers_never_cross_subjects_agents_or_versions_and_grow_old(play: Play) -> None:
    answers = [f"Answer {number}." for number in range(9)]
    play([say(text) for text in answers])
    publish()
    question = "What do I owe?"
    assert ask(question).output == answers[0]
    assert ask(question, BOB).output == answers[1]
    assert ask(question, {}).output == answers[2]
    assert ask(question, {**ANNA, "permissions": ["refund"]}).output == answers[3]
    world.publish_agent("clerk", answer_cache={}, guardrails={"verify": "off"})
    assert ask(question, agent="clerk").output == answers[4]
    assert ask(question).output == answers[0]
    CachedAnswer.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert ask(question).output == answers[5]
    publish(instructions="Look twice.")
    assert ask(question).output == answers[6]


@pytest.mark.parametrize(
    "turn",
    [
        call("add_note", text="x"),  # an effect that was done
        call("fail_cleanly"),  # one that failed
        call("pay", account="nobody", amount=1),  # one that was refused before it was judged
        call("no_such_tool"),
        call("get_balance", account="nobody"),  # a lookup that found nothing: it may be there tomorrow
    ],
)
def test_an_answer_that_rests_on_more_than_what_was_read_is_not_kept(play: Play, turn: Any) -> None:
    play([together(say("I try."), turn), say("Done.")])
    publish(policy=[{"then": "allow"}])
    run = ask("Do it.")
    assert run.status == "completed", run.reason
    assert not CachedAnswer.objects.exists()


def test_an_effect_that_was_denied_is_not_kept(play: Play) -> None:
    play([call("pay", account="acme", amount=1), say("Not paid.")])
    publish(policy=[{"tool": "pay", "then": "deny"}])
    assert ask("Pay.").status == "completed"
    assert not CachedAnswer.objects.exists()


def test_turns_of_a_conversation_are_neither_given_nor_kept(play: Play) -> None:
    model = play([say("The first."), say("The second.")])
    publish()
    ask("And that one?", conversation="c")
    assert not CachedAnswer.objects.exists()
    CachedAnswer.objects.all().delete()
    ask("And that one?", conversation="d")
    assert len(model.requests) == 2


def test_a_run_that_does_not_complete_leaves_no_answer(play: Play) -> None:
    play([])
    publish()
    assert ask("What?").status == "failed"
    assert not CachedAnswer.objects.exists()


def test_a_given_answer_is_no_memory(play: Play) -> None:
    play([say("By Friday.")])
    publish(memory={"long_term": True})
    ask("When?")
    given = ask("When?")
    assert given.turns == 0
    assert Memory.objects.count() == 1
    assert given.taint_sources == ["input"]


def test_an_agent_without_the_cache_keeps_nothing_and_looks_nothing_up(play: Play) -> None:
    play([say("One."), say("Two.")])
    world.publish_agent(guardrails={"verify": "off"})
    ask("When?")
    second = ask("When?")
    assert second.output == "Two."
    assert [step.kind for step in second.steps.all()] == ["model"]
    assert not Span.objects.filter(operation="search_memory").exists()
