"""Tools in trouble: tried again, left alone for a while, called not too often; lookups reused, and read again in time."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from agents.actions import pause_run, resume_run
from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.providers.scripted import call, say, together
from agents.runtime import availability
from agents.runtime.recovery import sweep
from agents.tools import breaker, limiting
from agents.tools.breaker import Breakers
from agents.valkey import valkey
from tests import unsteady, world
from tests.integration.agents.conftest import Play
from tests.racing import at_once
from traces.models import Event, Span

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("get_stock", "get_spare", "get_weather", "get_rate", "get_price", "buy", "reserve")
TOOLS = [{"python": f"tests.unsteady.{name}"} for name in NAMES]


@pytest.fixture(autouse=True)
def breakers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Breakers]:
    """Those of this process: no tool has failed or been called yet."""
    _forget_tools()
    monkeypatch.setattr(availability, "breakers", fresh := Breakers())
    monkeypatch.setattr("agents.runtime.claiming.breakers", fresh)
    monkeypatch.setattr("agents.runtime.reads.breakers", fresh)
    yield fresh
    _forget_tools()


def _forget_tools() -> None:
    for key in valkey().scan_iter("gatehouse:tool*"):
        valkey().delete(key)


def publish(**changes: Any) -> None:
    world.publish_agent(**({"tools": TOOLS, "policy": [{"then": "allow"}]} | changes))


def due(run: Run) -> Run:
    """Let what the run waits for be due, and carry it on."""
    Run.objects.filter(pk=run.pk).update(wake_at=timezone.now())
    ToolCall.objects.filter(run=run, retry_at__isnull=False).update(retry_at=timezone.now())
    return world.carry_on(run)


def result(run: Run, index: int = -1) -> dict[str, Any]:
    rows = list(ToolCall.objects.filter(run=run).order_by("step__seq", "index"))
    assert rows[index].result is not None
    return rows[index].result or {}


@pytest.mark.req("RUN-2")
def test_a_lookup_that_failed_is_tried_again_with_its_key_and_holds_no_worker(play: Play) -> None:
    play([call("get_stock", item="cup"), say("Twelve.")])
    publish()
    unsteady.write("get_stock.failures", "2")
    run = world.carry_on(world.start())
    assert (run.status, run.lease_until) == ("waiting_retry", None)
    assert world.calls(run) == [("get_stock", "approved")]
    assert world.carry_on(run).status == "waiting_retry"  # it is not time yet
    assert len(unsteady.calls_of("get_stock")) == 1
    assert due(run).status == "waiting_retry"
    run = due(run)
    assert run.status == "completed"
    assert (result(run)["type"], result(run)["data"]) == ("success", "12")
    assert len(unsteady.calls_of("get_stock")) == 3
    assert len(set(unsteady.calls_of("get_stock"))) == 1
    assert Event.objects.filter(name="tool_call.retried").count() == 2
    assert Span.objects.filter(run_id=run.pk, operation="execute_tool").count() == 3


@pytest.mark.req("RUN-2")
def test_the_sweeper_finds_a_retry_that_is_due(play: Play) -> None:
    play([call("get_stock", item="cup"), say("Twelve.")])
    publish()
    unsteady.write("get_stock.failures", "1")
    run = world.carry_on(world.start())
    assert sweep(now=timezone.now() - timedelta(seconds=1)) == 0
    assert sweep(now=timezone.now() + timedelta(seconds=5)) == 1
    assert due(run).status == "completed"


@pytest.mark.req("RUN-2")
@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (2, 3)])
def test_after_its_retries_the_failure_goes_to_the_agent(play: Play, retries: int, tries: int) -> None:
    model = play([call("get_stock", item="cup"), say("It is busy.")])
    publish(limits={"tool_retries": retries})
    unsteady.write("get_stock.failures", "9")
    run = world.carry_on(world.start())
    for _ in range(retries):
        assert run.status == "waiting_retry"
        run = due(run)
    assert run.status == "completed"
    assert world.calls(run) == [("get_stock", "failed")]
    assert len(unsteady.calls_of("get_stock")) == tries
    assert "the server is busy" in model.requests[-1].messages[-1].text


@pytest.mark.req("RUN-2", "TOOL-4")
def test_an_effect_that_may_not_be_repeated_is_not_tried_again(play: Play) -> None:
    play([call("buy", item="cup"), say("It failed.")])
    publish()
    unsteady.write("buy.failures", "1")
    run = world.carry_on(world.start())
    assert run.status == "completed"
    assert world.calls(run) == [("buy", "failed")]
    assert len(unsteady.calls_of("buy")) == 1


@pytest.mark.req("RUN-2", "TOOL-4")
def test_siblings_and_other_work_go_on_while_a_call_waits(play: Play) -> None:
    play([together(call("get_stock", item="cup"), call("buy", item="cup")), say("Done.")])
    publish()
    unsteady.write("get_stock.failures", "1")
    run = world.carry_on(world.start())
    assert run.status == "waiting_retry"
    assert world.calls(run) == [("get_stock", "approved"), ("buy", "succeeded")]
    assert due(run).status == "completed"
    assert len(unsteady.calls_of("buy")) == 1


@pytest.mark.req("RUN-2", "TOOL-4")
def test_a_retry_after_a_clean_failure_is_not_in_doubt_but_one_after_a_lost_reply_is(play: Play) -> None:
    play([call("reserve", item="cup"), say("No."), call("reserve", item="pot"), say("No.")])
    publish(limits={"tool_retries": 1})
    unsteady.write("reserve.failures", "9")
    run = due(world.carry_on(world.start()))
    assert world.calls(run) == [("reserve", "failed")]  # both attempts said that nothing changed
    unsteady.write("reserve.answer", "lost")
    run = world.carry_on(world.start())
    assert run.status == "waiting_approval"
    assert world.calls(run) == [("reserve", "unknown")]  # the first may have happened
    assert world.pending(run).kind == "reconcile"


@pytest.mark.req("TOOL-5")
def test_a_tool_that_fails_again_and_again_is_left_alone_by_all_workers(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = play(
        [
            together(*(call("get_spare", item=str(n)) for n in range(5))),
            call("get_spare", item="6"),
            say("It is down."),
        ]
    )
    publish()
    unsteady.write("get_spare.failures", "5")
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == ["failed"] * 5 + ["refused"]
    assert len(unsteady.calls_of("get_spare")) == 5
    told = result(run)
    assert (told["type"], told["retryable"]) == ("error", True)
    assert told["message"].startswith("get_spare is unavailable since ")
    assert any("is unavailable since" in message.text for message in model.requests[-1].messages)
    assert ToolCall.objects.get(run=run, status="refused").claim_fence is None  # it never half-ran

    spare, other_worker = unsteady.get_spare, Breakers()
    assert other_worker.unavailable_since(spare) is not None
    assert other_worker.unavailable_since(unsteady.get_stock) is None

    valkey().delete(breaker._resting(spare))  # half a minute later
    let_through = at_once(*[lambda: other_worker.unavailable_since(spare)] * 5)
    assert let_through.count(None) == 1  # one tries
    other_worker.note(spare, failed=True)
    assert other_worker.unavailable_since(spare) is not None
    valkey().delete(breaker._resting(spare))
    play([call("get_spare", item="7"), say("It is back.")])
    again = world.carry_on(world.start())
    assert world.calls(again) == [("get_spare", "succeeded")]
    assert Breakers().unavailable_since(spare) is None


@pytest.mark.req("TOOL-5")
def test_the_agent_is_told_what_to_try_instead(play: Play, breakers: Breakers) -> None:
    play([call("get_stock", item="cup"), say("It is down.")])
    publish()
    for _ in range(5):
        breakers.note(unsteady.get_stock, failed=True)
    run = world.carry_on(world.start())
    assert result(run)["message"].endswith(" UTC, try get_spare.")


@pytest.mark.req("TOOL-5")
def test_failures_that_are_the_callers_own_open_nothing(play: Play) -> None:
    play([*(call("get_balance", account="nobody") for _ in range(6)), say("There is none.")])
    world.publish_agent(limits={"repeats": 9})
    run = world.carry_on(world.start())
    assert "refused" not in [status for _, status in world.calls(run)]


@pytest.mark.req("TOOL-5")
def test_what_a_person_approved_waits_for_its_tool(play: Play, breakers: Breakers) -> None:
    play([call("buy", item="cup"), say("Bought.")])
    publish(policy=[])
    run = world.carry_on(world.start())
    for _ in range(5):
        breakers.note(unsteady.buy, failed=True)
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
    run = world.carry_on(run)
    assert run.status == "waiting_retry"
    assert world.calls(run) == [("buy", "approved")]
    assert Event.objects.filter(name="tool_call.postponed").count() == 1
    valkey().delete(breaker._resting(unsteady.buy))
    assert due(run).status == "completed"
    assert len(unsteady.calls_of("buy")) == 1


@pytest.mark.req("TOOL-5")
def test_without_valkey_breakers_are_closed(
    play: Play, breakers: Breakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        breakers.note(unsteady.get_spare, failed=True)
    valkey.cache_clear()
    monkeypatch.setattr(settings, "VALKEY_URL", "unix:///nowhere/valkey.sock")
    try:
        away = Breakers()
        assert away.unavailable_since(unsteady.get_spare) is None
        away.note(unsteady.get_spare, failed=True)
        assert limiting.seconds_until_free(unsteady.get_weather) == 0
        play([call("get_spare", item="cup"), call("get_weather"), say("Fine.")])
        publish()
        monkeypatch.setattr(availability, "breakers", away)
        monkeypatch.setattr("agents.runtime.claiming.breakers", away)
        run = world.carry_on(world.start())
        assert [status for _, status in world.calls(run)] == ["succeeded", "succeeded"]
    finally:
        monkeypatch.undo()
        valkey.cache_clear()


@pytest.mark.req("TOOL-5")
def test_a_tool_is_called_no_oftener_than_it_may_be(play: Play) -> None:
    play([together(*(call("get_weather") for _ in range(3))), say("Rain.")])
    publish()
    run = world.carry_on(world.start())
    assert [status for _, status in world.calls(run)] == ["succeeded", "succeeded", "refused"]
    assert "was called 2 times within a minute" in result(run)["message"]
    assert result(run)["retryable"] is True
    assert len(unsteady.calls_of("get_weather")) == 2


@pytest.mark.req("TOOL-5")
def test_workers_that_ask_at_once_share_the_places_of_a_minute() -> None:
    waits = at_once(*[lambda: limiting.seconds_until_free(unsteady.get_weather)] * 8)
    assert waits.count(0.0) == 2
    assert all(50 < wait < 61 for wait in waits if wait)


@pytest.mark.req("TOOL-6")
def test_a_lookup_serves_again_for_a_while_and_says_how_old_it_is(play: Play) -> None:
    play(lambda request: _once(request, call("get_rate", currency="USD")))
    publish()
    first = world.carry_on(world.start())
    assert "cached" not in result(first)
    unsteady.write("rate", "1.20")
    second = world.carry_on(world.start())
    assert len(unsteady.calls_of("get_rate")) == 1
    assert result(second)["data"] == {"currency": "USD", "rate": "1.10"}
    assert (result(second)["cached"], result(second)["fetched_at"]) == (True, result(first)["fetched_at"])
    spans = Span.objects.filter(operation="execute_tool").order_by("started_at")
    assert [span.attributes["gatehouse.cached"] for span in spans] == [False, True]
    for values in ({"subject": {"customer": "c2"}}, {"agent": "other"}):
        world.publish_agent("other", tools=TOOLS)
        assert result(world.carry_on(world.start(**values)))["data"]["rate"] == "1.20"
    ToolCall.objects.update(fetched_at=F("fetched_at") - timedelta(seconds=61))
    third = world.carry_on(world.start())
    assert result(third)["data"]["rate"] == "1.20"
    assert len(unsteady.calls_of("get_rate")) == 4


@pytest.mark.req("TOOL-6")
def test_a_lookup_that_serves_again_spares_a_tool_in_trouble(play: Play, breakers: Breakers) -> None:
    play(lambda request: _once(request, call("get_rate", currency="USD")))
    publish()
    world.carry_on(world.start())
    for _ in range(5):
        breakers.note(unsteady.get_rate, failed=True)
    assert result(world.carry_on(world.start()))["cached"] is True


@pytest.mark.req("TOOL-6")
@pytest.mark.parametrize("length", [0, 40_000])
def test_an_approved_action_runs_on_data_that_is_read_again_and_is_the_same(play: Play, length: int) -> None:
    unsteady.write("price.length", str(length))
    run = _ask_to_buy(play)
    _let_data_age(run)
    _approve(run)
    run = world.carry_on(run)
    assert run.status == "completed"
    assert world.calls(run) == [("get_price", "succeeded"), ("buy", "succeeded")]
    assert len(unsteady.calls_of("get_price")) == 2
    assert Event.objects.get(name="tool_call.read_again").data["changed"] is False
    fetched_at = ToolCall.objects.get(run=run, tool="get_price").fetched_at
    assert fetched_at is not None
    assert fetched_at > timezone.now() - timedelta(seconds=30)


@pytest.mark.req("TOOL-6", "APR-1")
@pytest.mark.parametrize("length", [0, 40_000])
def test_an_approved_action_goes_back_to_people_where_its_data_changed(play: Play, length: int) -> None:
    unsteady.write("price.length", str(length))
    run = _ask_to_buy(play)
    _let_data_age(run)
    unsteady.write("price", "99")
    _approve(run)
    run = world.carry_on(run)
    assert run.status == "waiting_approval"
    assert world.calls(run) == [("get_price", "succeeded"), ("buy", "pending_approval")]
    request = world.pending(run)
    assert "get_price said" in request.rule
    assert "99" in request.rule
    assert "99" in str(request.context["evidence"])
    assert unsteady.calls_of("buy") == []
    _approve(run)
    run = world.carry_on(run)
    assert run.status == "completed"
    assert len(unsteady.calls_of("buy")) == 1


@pytest.mark.req("TOOL-6")
def test_data_that_can_not_be_read_again_stops_the_action_too(play: Play) -> None:
    run = _ask_to_buy(play)
    _let_data_age(run)
    unsteady.write("get_price.failures", "1")
    _approve(run)
    run = world.carry_on(run)
    assert "get_price could not be read again: the server is busy." in world.pending(run).rule
    assert unsteady.calls_of("buy") == []


@pytest.mark.req("TOOL-6")
def test_an_action_that_nobody_had_to_approve_goes_back_to_the_agent(play: Play) -> None:
    def aged(request: Any) -> Any:
        if len(request.messages) == 1:
            return call("get_price", item="cup")
        if len(request.messages) == 3:
            _let_data_age(run)
            unsteady.write("price", "99")
            pause_run(run_id=run.pk, actor=world.operator())  # for a minute, say
            return call("buy", item="cup")
        return say("It has become dear.")

    play(aged)
    publish()
    run = world.start()
    assert world.carry_on(run).status == "paused"
    resume_run(run_id=run.pk, actor=world.operator())
    run = world.carry_on(run)
    assert world.calls(run) == [("get_price", "succeeded"), ("buy", "refused")]
    assert "99" in result(run)["message"]
    assert result(run, 0)["data"]["price"] == 99
    assert unsteady.calls_of("buy") == []


@pytest.mark.req("TOOL-6")
def test_fresh_data_is_not_read_again(play: Play) -> None:
    run = _ask_to_buy(play)
    _approve(run)
    assert world.carry_on(run).status == "completed"
    assert len(unsteady.calls_of("get_price")) == 1


def _once(request: Any, proposed: Any) -> Any:
    return proposed if len(request.messages) == 1 else say("Done.")


def _ask_to_buy(play: Play) -> Run:
    play([call("get_price", item="cup"), call("buy", item="cup"), say("Bought.")])
    publish(policy=[])
    return world.carry_on(world.start())


def _let_data_age(run: Run) -> None:
    ToolCall.objects.filter(run=run).update(fetched_at=F("fetched_at") - timedelta(seconds=31))


def _approve(run: Run) -> None:
    request = world.pending(run)
    decide(approval_id=request.pk, actor=world.operator(), decision="approve", digest=request.digest)
