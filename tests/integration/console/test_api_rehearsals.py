"""Rehearsals by REST: what a program or a person sends, and what they are told."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from agents.models import Run, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from tests import tools, world
from tests.integration.console.callers import Caller
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("RUN-9", "OPS-3")]


@pytest.fixture(autouse=True)
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))
    world.publish_agent(policy=[{"then": "allow"}])


@pytest.fixture
def play() -> Iterator[Any]:
    with ExitStack() as stack:
        yield lambda *script: stack.enter_context(using(Scripted(list(script))))


def paid(play: Any, by: Caller) -> Run:
    play(together(say("I pay."), call("pay", account="acme", amount=5.0)), say("Paid."))
    return world.carry_on(Run.objects.get(pk=by.post("/runs", {"agent": "teller", "input": "Pay."})["id"]))


def test_a_program_replays_and_forks_its_run(play: Any) -> None:
    shop = Caller("shop", "service")
    run = paid(play, shop)
    replayed = shop.post(f"/runs/{run.pk}/replay")
    assert (shop.status, replayed.keys()) == (201, {"id", "status", "trace_id", "url"})
    play(call("pay", account="acme", amount=5.0), say("Paid."))
    world.carry_on(Run.objects.get(pk=replayed["id"]))
    told = shop.get(f"/runs/{replayed['id']}")
    assert (told["rehearsal"], told["rehearsal_of"], told["output"]) == ("replay", str(run.pk), "Paid.")
    paying = ToolCall.objects.get(run=run)
    change = {"call": str(paying.pk), "data": {"paid": 0}}
    forked = shop.post(f"/runs/{run.pk}/fork", {"step": 1, "result": change, "instructions": "Be brief."})
    assert shop.status == 201
    play(say("Nothing was paid."))
    world.carry_on(Run.objects.get(pk=forked["id"]))
    listed = {each["id"]: (each["rehearsal"], each["rehearsal_of"]) for each in shop.get("/runs")["items"]}
    assert listed == {
        str(run.pk): (None, None),
        replayed["id"]: ("replay", str(run.pk)),
        forked["id"]: ("fork", str(run.pk)),
    }
    assert shop.get(f"/runs/{forked['id']}/tool-calls")["items"][0]["result"]["data"] == {"paid": 0}
    assert len(tools.effects()) == 1


def test_the_same_key_rehearses_once(play: Any) -> None:
    shop = Caller("shop", "service")
    run = paid(play, shop)
    first = shop.post(f"/runs/{run.pk}/replay", key="k")
    assert shop.post(f"/runs/{run.pk}/replay", key="k") == first
    assert Event.objects.filter(name="run.replayed").count() == 1


def test_what_is_wrong_is_said(play: Any) -> None:
    shop = Caller("shop", "service")
    run = paid(play, shop)
    for body, where, words in (
        ({}, ["step"], ""),
        ({"step": -1}, ["step"], ""),
        ({"step": 9}, ["step"], "the run has steps 1 to 2; 0 is its beginning."),
        ({"step": 2}, ["step"], "nothing comes after step 2"),
        ({"step": 1, "modle": "scripted:a"}, [], "unknown key 'modle'; did you mean 'model'?"),
        ({"step": 1, "model": "a"}, ["model"], "write a model as provider:model"),
        ({"step": 1, "result": {"call": str(uuid4()), "data": 1}}, ["result", "call"], "no call of steps"),
    ):
        told = shop.post(f"/runs/{run.pk}/fork", body)
        assert (shop.status, told["errors"][0]["path"]) == (422, where), told
        assert words in told["errors"][0]["message"]
    shop.post(f"/runs/{uuid4()}/replay")
    assert shop.status == 404
    waiting = shop.post("/runs", {"agent": "teller", "input": "Pay."})["id"]
    assert shop.post(f"/runs/{waiting}/replay")["detail"].startswith(f"Run {waiting} is queued")
    assert shop.status == 409
    assert not Run.objects.filter(rehearsal=True).exists()


def test_who_may_not(play: Any) -> None:
    shop = Caller("shop", "service")
    run = paid(play, shop)
    for caller, status in (
        (Caller("lee", "analyst"), 403),
        (Caller("other", "service"), 404),
    ):
        for what, body in (("replay", {}), ("fork", {"step": 0})):
            caller.post(f"/runs/{run.pk}/{what}", body)
            assert caller.status == status, (caller, what)
    assert Client().post(f"/api/v1/runs/{run.pk}/replay").status_code == 401


def test_no_caller_makes_an_ordinary_run_a_rehearsal(play: Any) -> None:
    shop = Caller("shop", "service")
    for extra in ({"rehearsal": True}, {"kind": "replay"}):
        shop.post("/runs", {"agent": "teller", "input": "Pay.", **extra})
        assert shop.status == 422
    play(call("pay", account="acme", amount=5.0), say("Paid."))
    started = shop.post("/runs", {"agent": "teller", "input": "Pay.", "metadata": {"rehearsal": True}})
    run = world.carry_on(Run.objects.get(pk=started["id"]))
    assert (run.rehearsal, shop.get(f"/runs/{run.pk}")["rehearsal"], len(tools.effects())) == (False, None, 1)


def test_the_pages_say_that_it_is_one(play: Any) -> None:
    run = paid(play, Caller("shop", "service"))
    boss = Caller("boss", "operator")
    replayed = boss.post(f"/runs/{run.pk}/replay")["id"]
    client = Client()
    client.force_login(boss.user)
    page = client.get(f"/runs/{replayed}").content.decode()
    assert f"Replay of run {run.pk}: nothing of it reached the world." in page
    assert "nothing of it reached" not in client.get(f"/runs/{run.pk}").content.decode()
    assert client.get("/runs").content.decode().count(">rehearsal<") == 1
    assert f"/runs/{run.pk}/replay" in client.get(f"/runs/{run.pk}").content.decode()
    assert client.get("/traces").content.decode().count(">rehearsal<") == 1
    world.carry_on(Run.objects.get(pk=replayed))  # and after its end, too
    assert client.get("/traces").content.decode().count(">rehearsal<") == 1
    assert ">rehearsal<" in client.get(f"/traces/{UUID(replayed).hex}").content.decode()
    assert ">rehearsal<" not in client.get(f"/traces/{run.pk.hex}").content.decode()
    pressed = client.post(f"/runs/{run.pk}/replay")
    again = Run.objects.exclude(pk=replayed).get(rehearsal=True)
    assert (pressed.status_code, pressed["location"]) == (302, f"/runs/{again.pk}")
    told = client.post(f"/runs/{again.pk}/replay", follow=True).content.decode()
    assert "it can be rehearsed once it is over" in told
    client.force_login(world.person("lee", "analyst"))
    assert client.post(f"/runs/{run.pk}/replay").status_code == 403
    assert f"/runs/{run.pk}/replay" not in client.get(f"/runs/{run.pk}").content.decode()
    client.force_login(boss.user)
    audit = client.get(f"/audit?run={run.pk}&kind=work").content.decode()
    assert "replayed the run" in audit
