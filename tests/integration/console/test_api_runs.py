"""Runs by REST: what a program sends, and what it is told."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from agents.models import Run
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from agents.states import RunStatus
from console.api import waiting
from console.models import IdempotencyRecord
from tests import world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    world.publish_agent()


@pytest.fixture
def play() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(using(Scripted(list(script))))


@pytest.fixture
def shop() -> Caller:
    return Caller("shop", "service")


@pytest.mark.req("RUN-1", "OPS-3")
def test_a_program_starts_a_run_and_reads_how_it_ends(shop: Caller, play: Any) -> None:
    play(together(say("I look."), call("get_balance", account="acme")), say("They have 1240 EUR."))
    task = {
        "agent": "teller",
        "input": "What do they have?",
        "subject": {"customer": "c1"},
        "conversation": "k",
    }
    started = shop.post("/runs", task)
    assert shop.status == 201
    assert started.keys() == {"id", "status", "trace_id", "url"}
    assert started["status"] == "queued"
    run = Run.objects.get(pk=started["id"])
    assert (run.subject, run.conversation, run.started_by) == ({"customer": "c1"}, "k", shop.user)
    assert Event.objects.get(name="run.started").actor == f"token:{shop.user.get_username()}"
    assert run.taint_sources == ["input"]

    world.carry_on(run)
    told = shop.get(f"/runs/{run.pk}")
    assert told["status"] == "completed"
    assert told["output"] == "They have 1240 EUR."
    assert (told["agent"], told["version"]) == ("teller", 1)
    assert told["usage"].keys() == {
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "turns",
    }
    assert told["usage"]["turns"] == 2
    assert isinstance(told["cost_usd"], float)
    assert told["pending_approvals"] == []
    assert told["trace_id"] == started["trace_id"]

    steps = shop.get(f"/runs/{run.pk}/steps")["items"]
    calls = shop.get(f"/runs/{run.pk}/tool-calls")["items"]
    assert [step["kind"] for step in steps] == ["model", "model"]
    assert steps[0]["tool_calls"] == [calls[0]["id"]]
    assert (calls[0]["tool"], calls[0]["status"]) == ("get_balance", "succeeded")
    assert calls[0]["result"]["data"] == {"account": "acme", "balance": 1240.0}

    trace = shop.get(f"/traces/{run.pk.hex}", bodies="true")
    assert trace["run"] == str(run.pk)
    assert {"invoke_agent", "chat", "execute_tool"} <= {span["operation"] for span in trace["spans"]}
    assert [item["trace_id"] for item in shop.get("/traces")["items"]] == [run.pk.hex]


def test_a_run_that_waits_names_what_it_waits_for(shop: Caller, play: Any) -> None:
    play(call("pay", account="acme", amount=40))
    run = world.carry_on(world.start(started_by=shop.user))
    told = shop.get(f"/runs/{run.pk}", wait=30)
    assert (told["status"], told["pending_approvals"]) == ("waiting_approval", [str(world.pending(run).pk)])
    listed = shop.get("/runs", status="waiting_approval")["items"]
    assert listed == [told]


def test_a_waiting_caller_is_answered_as_soon_as_the_run_ends(
    shop: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.start(started_by=shop.user)
    waits = threading.Event()

    async def wait_until(done: Any, *, seconds: float) -> None:
        waits.set()
        await waiting.wait_until(done, seconds=seconds)

    def end() -> None:
        waits.wait(20)
        Run.objects.filter(pk=run.pk).update(status=RunStatus.CANCELLED, ended_at=timezone.now())
        connection.close()

    monkeypatch.setattr("console.api.runs.wait_until", wait_until)
    ender = threading.Thread(target=end)
    ender.start()
    before = time.monotonic()
    told = shop.get(f"/runs/{run.pk}", wait=20)
    ender.join()
    assert told["status"] == "cancelled"
    assert time.monotonic() - before < 10


def test_a_waiting_caller_is_answered_when_the_time_is_over(shop: Caller) -> None:
    run = world.start(started_by=shop.user)
    before = time.monotonic()
    assert shop.get(f"/runs/{run.pk}", wait=0.4)["status"] == "queued"
    assert time.monotonic() - before >= 0.4


@pytest.mark.req("OPS-3")
def test_a_program_sees_and_steers_its_own_runs_only(shop: Caller) -> None:
    other = Caller("crm", "service")
    run = world.start(started_by=other.user)
    for path in (
        f"/runs/{run.pk}",
        f"/runs/{run.pk}/steps",
        f"/runs/{run.pk}/tool-calls",
        f"/traces/{run.pk.hex}",
    ):
        shop.get(path)
        assert shop.status == 404, path
    for what in ("cancel", "pause", "resume"):
        shop.post(f"/runs/{run.pk}/{what}")
        assert shop.status == 404, what
    assert shop.get("/runs") == {"items": [], "next": None}
    assert shop.get("/traces")["items"] == []
    assert [item["id"] for item in other.get("/runs")["items"]] == [str(run.pk)]


@pytest.mark.req("RUN-1")
def test_the_same_key_and_body_have_one_effect_and_one_answer(shop: Caller) -> None:
    task = {"agent": "teller", "input": "Pay."}
    first = shop.post("/runs", task, key="order-1")
    again = shop.post("/runs", task, key="order-1")
    assert (shop.status, again) == (201, first)
    assert Run.objects.count() == 1
    shop.post("/runs", {**task, "input": "Pay twice."}, key="order-1")
    assert shop.status == 422
    assert shop.body["type"].endswith("key_reused")
    shop.post("/runs", task, key="order-2")
    Caller("crm", "service").post("/runs", task, key="order-1")
    assert Run.objects.count() == 3


def test_a_refused_request_can_be_mended_under_its_key(shop: Caller) -> None:
    shop.post("/runs", {"agent": "nobody", "input": "Pay."}, key="k")
    assert shop.status == 422
    shop.post("/runs", {"agent": "teller", "input": "Pay."}, key="k")
    assert shop.status == 201


def test_a_key_is_forgotten_after_a_day(shop: Caller) -> None:
    shop.post("/runs", {"agent": "teller", "input": "Pay."}, key="k")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    shop.post("/runs", {"agent": "teller", "input": "Something else."}, key="k")
    assert shop.status == 201
    assert IdempotencyRecord.objects.count() == 1


@pytest.mark.req("RUN-1")
def test_twenty_at_once_with_one_key_start_one_run(shop: Caller) -> None:
    task = {"agent": "teller", "input": "Pay."}
    answers: list[tuple[int, str]] = []
    gate = threading.Barrier(20)

    def send() -> None:
        client = Client(headers={"authorization": f"Bearer {shop.token}", "idempotency-key": "once"})
        gate.wait()
        response = client.post("/api/v1/runs", task, content_type="application/json")
        answers.append((response.status_code, response.json()["id"]))
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Run.objects.count() == 1
    assert answers == [(201, str(Run.objects.get().pk))] * 20
