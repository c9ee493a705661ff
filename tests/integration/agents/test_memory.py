"""What agents remember: notes of a run, and memories over runs, for one subject and no other."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from agents.config import Endpoint
from agents.exceptions import BadConfig
from agents.memory import re_embedding
from agents.memory.embeddings import embed
from agents.memory.long_term import Recalled, recall
from agents.memory.scratchpad import MAX_NOTES
from agents.memory.subjects import subject_digest
from agents.models import Agent, Memory, Note, Run, StepKind, ToolCall
from agents.providers.base import ModelFailure, ModelRequest, ModelResponse
from agents.providers.routing import close_all
from agents.providers.scripted import call, say, together
from agents.simulator.server import SimulatorServer
from tests import world
from tests.integration.agents.conftest import Play
from traces.models import Event, Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("MEM-1", "MEM-2")]

ANNA, BOB = {"customer": "anna"}, {"customer": "bob"}
QUIET: dict[str, Any] = {"guardrails": {"verify": "off"}}


def remembering(name: str = "teller", **changes: Any) -> Agent:
    """An agent with long-term memory."""
    version = world.publish_agent(name, **{"memory": {"long_term": True}, **QUIET, **changes})
    return Agent.objects.get(pk=version.agent_id)


def put(agent: Agent, text: str, subject: dict[str, Any] = ANNA, **values: Any) -> Memory:
    """A stored memory with its lexical vector."""
    embedded = embed([text], endpoint=None)
    return Memory.objects.create(
        **{
            "agent": agent,
            "subject_digest": subject_digest(subject),
            "kind": "episodic",
            "text": text,
            "embedding": embedded.vectors[0],
            "embedded_by": embedded.by,
            "created_at": timezone.now(),
            **values,
        }
    )


def found(agent: Agent, text: str, subject: dict[str, Any] = ANNA, **values: Any) -> list[Recalled]:
    given = {"count": 3, "now": timezone.now(), "embedded": embed([text], endpoint=None), **values}
    return recall(agent=agent, subject=subject, text=text, **given)


def test_both_rankings_count_and_say_why() -> None:
    agent = remembering()
    lamp = put(agent, "The lamp of order A-17 arrived broken and was refunded.")
    put(agent, "Asked about opening hours on Sundays.")
    best, *others = found(agent, "Is the broken lamp of order A-17 refunded?")
    assert best.id == lamp.pk
    assert "number 1 by meaning (similarity 0." in best.why
    assert "number 1 by words (rank 0." in best.why
    assert best.score == pytest.approx(2 / 61, abs=1e-4)
    assert all(other.score < best.score for other in others)
    # Nothing that has to do with it is nothing.
    assert found(agent, "Xylophone 4711?") == []


def test_at_most_so_many_the_best_first_and_none_that_is_forgotten() -> None:
    agent = remembering()
    for number in range(6):
        put(agent, f"Parcel number {number} came late.")
    old = put(agent, "Parcel number 9 came late.", expires_at=timezone.now() - timedelta(seconds=1))
    best = found(agent, "Did parcel number 3 come late?")
    assert len(best) == 3
    assert "number 3" in best[0].text
    assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)
    assert old.pk not in {one.id for one in found(agent, "parcel number 9", count=20)}


def test_memories_never_cross_subjects_or_agents() -> None:
    agent, other = remembering("teller"), remembering("clerk")
    mine = put(agent, "Anna's lamp was refunded.", ANNA)
    put(agent, "Bob's lamp was refunded.", BOB)
    put(agent, "Nobody's lamp was refunded.", {})
    put(agent, "The lamp of an anna with rights was refunded.", {**ANNA, "permissions": ["refund"]})
    put(other, "Another agent's lamp was refunded.", ANNA)
    assert [one.id for one in found(agent, "lamp refunded", count=20)] == [mine.pk]
    assert found(other, "lamp refunded", BOB, count=20) == []


def test_vectors_of_other_models_or_lengths_never_compare() -> None:
    agent = remembering()
    foreign = put(agent, "The lamp was refunded.", embedded_by="openai:other")
    short = put(agent, "The lamp was returned.", embedding=[1.0, 0.0])
    best = {one.id: one.why for one in found(agent, "lamp")}
    assert set(best) == {foreign.pk, short.pk}
    assert not any("meaning" in why for why in best.values())
    assert len(found(agent, "lamp", embedded=None)) == 2


def test_what_happened_is_remembered_once_and_recalled_with_its_source(play: Play) -> None:
    remembering(policy=[{"effect": "reversible", "then": "allow"}])
    play([together(say("I note it."), call("add_note", text="likes tea")), say("Noted that acme likes tea.")])
    first = world.carry_on(world.start(input="Note that acme likes tea.", subject=ANNA))
    assert first.status == "completed", first.reason
    memory = Memory.objects.get(run=first)
    assert memory.text.splitlines()[:2] == [
        "Task: Note that acme likes tea.",
        "Outcome: completed. The agent gave its answer.",
    ]
    assert "Done: Call add_note (succeeded)" in memory.text
    assert "Answer: Noted that acme likes tea." in memory.text
    assert (memory.kind, memory.tainted, memory.embedded_by) == ("episodic", True, "lexical-1")
    assert first.ended_at is not None
    assert memory.expires_at == first.ended_at + timedelta(days=90)
    with pytest.raises(IntegrityError):
        Memory.objects.create(
            agent=memory.agent,
            run=first,
            kind="episodic",
            subject_digest="x",
            text="twice",
            created_at=timezone.now(),
        )

    model = play([say("Acme likes tea.")])
    second = world.carry_on(world.start(input="What does acme like, tea?", subject=ANNA, trusted_input=True))
    told = model.requests[0].messages[0].text
    assert memory.text in told
    assert str(first.pk) in told
    assert told.index("BEGIN DATA") < told.index(memory.text) < told.rindex("END DATA")
    assert second.taint_sources == ["memory"]
    step = second.steps.get(kind=StepKind.RECALL)
    assert [kept["id"] for kept in step.payload["memories"]] == [str(memory.pk)]
    span = Span.objects.select_related("body").get(trace_id=second.trace_id, operation="search_memory")
    assert span.attributes["gatehouse.memory.count"] == 1
    assert span.body.input is not None
    assert span.body.input["query"] == "What does acme like, tea?"
    output: Any = span.body.output
    assert output[0]["run"] == str(first.pk)
    assert "by meaning" in output[0]["why"]
    assert step.span_id == span.pk

    model = play([say("I don't know.")])
    world.carry_on(world.start(input="What does acme like, tea?", subject=BOB))
    assert "likes tea" not in model.requests[0].messages[0].text


def test_what_was_recalled_stays_what_it_was(play: Play) -> None:
    agent = remembering()
    memory = put(agent, "Acme likes tea.")
    model = play([call("pay", account="acme", amount=5), say("Paid.")])
    run = world.carry_on(world.start(input="Pay acme for tea.", subject=ANNA))
    assert run.status == "waiting_approval"
    memory.delete()
    put(agent, "Acme hates tea.")
    world.carry_on_approved(run)
    assert model.requests[1].messages[0] == model.requests[0].messages[0]
    assert Run.objects.get(pk=run.pk).steps.filter(kind=StepKind.RECALL).count() == 1


@pytest.mark.parametrize("requested", ["cancel", ""])
def test_a_run_that_was_called_off_or_failed_is_not_remembered(play: Play, requested: str) -> None:
    remembering()
    play([])
    run = world.start(subject=ANNA)
    Run.objects.filter(pk=run.pk).update(requested=requested)
    assert world.carry_on(run).status == ("cancelled" if requested else "failed")
    assert not Memory.objects.exists()


def test_a_subject_without_canonical_form_has_no_memory_and_its_run_goes_on(play: Play) -> None:
    remembering()
    play([say("Done.")])
    run = world.carry_on(world.start(subject={"customer": 2**60}))
    assert run.status == "completed", run.reason
    assert not Memory.objects.exists()


def test_notes_survive_a_restart_and_ask_nobody(play: Play) -> None:
    def answer(request: ModelRequest) -> ModelResponse:
        told = [message.text for message in request.messages if message.role == "tool"]
        match len(told):
            case 0:
                return together(
                    call("write_note", name="plan", text="first"),
                    call("write_note", name="plan", text="pay 5"),
                )
            case 2:
                return call("pay", account="acme", amount=5)
            case 3:
                return call("read_notes")
        return say(told[-1])

    play(answer)
    world.publish_agent(memory={"scratchpad": True}, **QUIET)
    run = world.carry_on(world.start())
    assert run.status == "waiting_approval"
    assert [(note.name, note.text) for note in Note.objects.filter(run=run)] == [("plan", "pay 5")]
    run = world.carry_on_approved(run)
    assert run.status == "completed", run.reason
    assert '{"name": "plan", "text": "pay 5"}' in run.output
    notes = ToolCall.objects.filter(run=run, tool__in=["write_note", "read_notes"])
    assert {(row.effect, row.status) for row in notes} == {("read", "succeeded")}
    assert all(row.rule and row.digest for row in notes)  # judged like any other call
    assert Span.objects.filter(trace_id=run.trace_id, name="execute_tool write_note").count() == 2
    assert "tool:read_notes" not in run.taint_sources


def test_notes_are_bounded_in_number_and_size(play: Play) -> None:
    run = world.start(world.publish_agent(memory={"scratchpad": True}, **QUIET).agent.name)
    now = timezone.now()
    Note.objects.bulk_create(
        Note(run=run, name=f"note {number}", text="x" * 500, written_at=now) for number in range(MAX_NOTES)
    )
    play(
        [
            together(
                call("write_note", name="one more", text="x"),
                call("write_note", name="note 1", text="new"),
                call("write_note", name="long", text="x" * 5000),
                call("read_notes"),
                call("read_notes", name="note 1"),
            ),
            say("Done."),
        ]
    )
    assert world.carry_on(run).status == "completed"
    results: list[Any] = [row.result for row in ToolCall.objects.filter(run=run).order_by("index")]
    assert [result["type"] for result in results] == ["error", "success", "error", "success", "success"]
    assert "replace one by its name" in results[0]["message"]
    assert len(results[3]["data"]["notes"]) == MAX_NOTES
    assert len(str(results[3]["data"])) < 16_000
    assert results[4]["data"]["notes"] == [{"name": "note 1", "text": "new"}]


def test_names_of_built_in_tools_are_taken() -> None:
    with pytest.raises(BadConfig, match="'read_notes' is the name of a built-in tool"):
        world.publish_agent(tools=[{"python": "agents.memory.scratchpad.read_notes"}])


@pytest.mark.req("MEM-5")
def test_an_endpoint_that_fails_leaves_words_and_the_run_goes_on(play: Play, settings: Any) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:9"
    agent = remembering(models={"executor": "scripted:test", "embeddings": "openai:small"})
    put(agent, "Acme likes tea.")
    play([say("Tea.")])
    run = world.carry_on(world.start(input="What does acme like, tea?", subject=ANNA))
    assert run.status == "completed", run.reason
    assert len(run.steps.get(kind=StepKind.RECALL).payload["memories"]) == 1
    failed = Span.objects.get(trace_id=run.trace_id, operation="embeddings")
    assert (failed.status, failed.error_type) == ("error", "connection")
    search = Span.objects.get(trace_id=run.trace_id, operation="search_memory")
    assert "words alone" in search.preview
    memory = Memory.objects.get(run=run)
    assert (memory.embedding, memory.embedded_by) == (None, "")
    for _ in range(2):
        progress = re_embedding.re_embed(agent=agent, now=timezone.now())
        assert (progress.done, progress.left) == (0, 2)
        assert progress.failure
    assert Event.objects.filter(name="memory.re_embedding_failed").count() == 1


@pytest.mark.req("MEM-5")
def test_changing_the_model_embeds_all_again_with_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = remembering()
    for number in range(7):
        put(agent, f"Parcel {number} came late.", embedded_by="openai:old", embedding=[0.5, 0.5])
    gone = put(
        agent, "Forgotten.", embedded_by="openai:old", expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert re_embedding.due_agents(now=timezone.now()) == [agent]
    monkeypatch.setattr(re_embedding, "BATCH", 3)
    progress = re_embedding.re_embed(agent=agent, now=timezone.now())
    assert (progress.done, progress.left, progress.model) == (7, 0, "lexical-1")
    told = Event.objects.filter(name="memory.re_embedded").order_by("pk").values_list("data", flat=True)
    assert [(data["done"], data["left"]) for data in told] == [(3, 4), (6, 1), (7, 0)]
    assert Memory.objects.filter(embedded_by="lexical-1").count() == 7
    assert Memory.objects.get(pk=gone.pk).embedded_by == "openai:old"
    assert re_embedding.due_agents(now=timezone.now()) == []
    assert "by meaning" in found(agent, "Did parcel 3 come late?")[0].why


@pytest.mark.req("MEM-5")
def test_providers_without_embeddings_say_so() -> None:
    with pytest.raises(ModelFailure, match="anthropic has no embeddings"):
        embed(["x"], endpoint=Endpoint(provider="anthropic", model="m", base_url="http://127.0.0.1:9"))


@pytest.fixture
def simulator(settings: Any) -> Iterator[SimulatorServer]:
    with SimulatorServer() as server:
        settings.SIMULATOR_URL, settings.MODEL_ENDPOINTS = server.url, {}
        yield server
        close_all()


@pytest.mark.req("MEM-5")
def test_an_endpoint_embeds_the_task_at_once_and_what_was_remembered_later(
    play: Play, simulator: SimulatorServer
) -> None:
    agent = remembering(
        models={"executor": "scripted:test", "embeddings": "openai:text-embedding-3-small"}, answer_cache={}
    )
    play([say("Acme likes green tea."), say("Green.")])
    first = world.carry_on(world.start(input="What does acme like?", subject=ANNA))
    assert first.status == "completed", first.reason
    assert first.input_tokens > 100  # those of the embedding, too
    span = Span.objects.get(trace_id=first.trace_id, operation="embeddings")
    assert (span.model, span.status, span.simulated) == ("text-embedding-3-small", "ok", True)
    assert span.input_tokens
    assert span.cost_usd
    assert [event.data["embedded"] for event in Event.objects.filter(name="memory.remembered")] == [False]
    progress = re_embedding.re_embed(agent=agent, now=timezone.now())
    assert (progress.done, progress.left) == (2, 0)  # the memory and the answer
    memory = Memory.objects.get(run=first)
    assert (memory.embedded_by, len(memory.embedding)) == ("openai:text-embedding-3-small", 1536)
    second = world.carry_on(world.start(input="What does acme like: green tea?", subject=ANNA))
    kept = second.steps.get(kind=StepKind.RECALL).payload["memories"]
    assert [one["id"] for one in kept] == [str(memory.pk)]
    assert "by meaning" in kept[0]["why"]
