"""What a model says while it says it: on the run's channel alone, for whoever may see it, and for nobody else's cost."""

from typing import Any

import pytest

from agents.providers.base import FailureKind, ModelFailure, ModelRequest, ModelResponse
from agents.providers.routing import using
from agents.providers.scripted import Scripted, say
from agents.runtime import drafts
from agents.runtime.drafts import Draft
from agents.valkey import valkey
from console import consumers
from tests import world
from tests.integration.console.test_consumers import cookie_of, listening, off_loop, run_async
from tests.sockets import Socket
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("MOD-8")]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Don't gather."""
    monkeypatch.setattr(consumers, "PACE_SECONDS", 0.01)
    monkeypatch.setattr(drafts, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(drafts, "LOOK_SECONDS", 0)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would go to the pages."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(drafts, "publish_text", lambda run_id, **message: messages.append(message))
    return messages


async def said(opened: Socket) -> dict[str, Any]:
    """The next words, whatever events come between."""
    while (message := await opened.next_message())["event"] != "run.said":
        pass
    return message


async def is_watched(run_id: Any) -> None:
    while not await off_loop(valkey().get, f"watching:{run_id}"):
        pass


def test_words_reach_an_open_page_piece_by_piece_and_those_of_a_failed_attempt_are_taken_back() -> None:
    cookie = cookie_of(world.person("amir", "analyst"))
    world.publish_agent()
    run, other = world.start(), world.start()

    async def test() -> None:
        async with listening(f"/ws/runs/{run.pk}", cookie) as opened:
            await is_watched(run.pk)
            elsewhere = Draft(other.pk, step=1)
            for piece in ("not ", "here"):
                await off_loop(elsewhere.add, piece)
            draft = Draft(run.pk, step=3)
            for piece in ("I ", f"look {HOSTILE} ", "up."):
                await off_loop(draft.add, piece)
            first, second = await said(opened), await said(opened)
            assert (first["step"], first["start"], first["text"]) == (3, 0, f"I look {HOSTILE} ")
            assert (second["attempt"], second["start"], second["text"]) == (
                first["attempt"],
                len(first["text"]),
                "up.",
            )
            await off_loop(draft.discard)
            taken = await said(opened)
            assert (taken["attempt"], taken["text"]) == (first["attempt"], None)

    run_async(test)


def test_a_page_that_comes_late_gets_the_whole_from_the_beginning(sent: list[dict[str, Any]]) -> None:
    world.publish_agent()
    run = world.start()
    draft = Draft(run.pk, step=1)
    for piece in ("a", "b", "c"):
        draft.add(piece)
    assert sent == [], "nobody looks, so nothing is sent"
    drafts.watch(run.pk, anew=True)
    draft.add("d")
    drafts.watch(run.pk, anew=False)
    draft.add("e")
    drafts.watch(run.pk, anew=True)
    draft.add("f")
    assert [(message["start"], message["text"]) for message in sent] == [(0, "abcd"), (4, "e"), (0, "abcdef")]


def test_pieces_are_gathered_into_few_messages(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "PAUSE_SECONDS", 3600)
    world.publish_agent()
    run = world.start()
    drafts.watch(run.pk, anew=True)
    draft = Draft(run.pk, step=1)
    for _ in range(10_000):
        draft.add("word ")
    assert sent == []


def test_a_failed_attempt_of_a_run_is_taken_back_and_nothing_is_stored(sent: list[dict[str, Any]]) -> None:
    class Breaking(Scripted):
        def complete(self, request: ModelRequest, *, on_text: Any = None) -> ModelResponse:
            super().complete(request, on_text=on_text)
            raise ModelFailure(FailureKind.CONNECTION, "hung up")

    world.publish_agent()
    run = world.start()
    drafts.watch(run.pk, anew=True)
    with using(Breaking([say("Half of an answer")])):
        run = world.carry_on(run)
    assert run.status == "waiting_retry"
    assert "".join(message["text"] for message in sent[:-1]) == "Half of an answer"
    assert (sent[-1]["step"], sent[-1]["text"]) == (1, None)
    assert run.steps.count() == 0
    assert "Half" not in str(list(Event.objects.values_list("data", flat=True)))


def test_without_valkey_a_draft_is_silent(sent: list[dict[str, Any]], settings: Any, tmp_path: Any) -> None:
    settings.VALKEY_URL = f"unix://{tmp_path}/nobody.sock"
    valkey.cache_clear()
    try:
        draft = Draft("5d7a0e56-5b0f-4c63-b1c0-0c5c3f5b0b57", step=1)  # type: ignore[arg-type]
        for piece in ("a", "b"):
            draft.add(piece)
    finally:
        valkey.cache_clear()
    assert sent == []
