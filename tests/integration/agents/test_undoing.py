"""What a run did is taken back: through the gate, once, newest first."""

from functools import partial
from typing import Any

import pytest
from django.test import Client

from agents.decisions import decide
from agents.direct import call_tool
from agents.exceptions import MissingRun, WrongState
from agents.models import Run, ToolCall
from agents.providers.scripted import call, say, together
from agents.undoing import State, undo_call, undo_run, undo_tools, undoable
from approvals.access import Actor
from approvals.exceptions import NotAllowed
from tests import reversible, tools, world
from tests.integration.agents.conftest import Play
from tests.racing import at_once
from traces.models import Event

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("TOOL-9")]

TOOLS = [
    {"python": f"tests.{name}"}
    for name in (
        "reversible.book_seat",
        "reversible.cancel_seat",
        "tools.pay",
        "tools.add_note",
        "tools.get_balance",
    )
]


def publish(**changes: Any) -> None:
    world.publish_agent(**{"tools": TOOLS, "policy": [{"then": "allow"}], **changes})


def booked(play: Play, *seats: str) -> Run:
    """A run that booked these seats, one after the other."""
    play([*(call("book_seat", seat=seat) for seat in seats), say("Booked.")])
    return world.carry_on(world.start())


def broken_off(play: Play, *seats: str) -> Run:
    """The same, and then it ran into its limit."""
    play([*(call("book_seat", seat=seat) for seat in seats), call("get_balance", account="acme")])
    publish(limits={"turns": len(seats)})
    return world.carry_on(world.start())


def row(run: Run, number: int = 0) -> ToolCall:
    return list(ToolCall.objects.filter(run=run).order_by("step__seq", "index"))[number]


def state(run: Run, number: int = 0) -> State:
    calls = list(ToolCall.objects.filter(run=run))
    return undoable(calls, undo_tools(run))[row(run, number).pk].state


def reject(run: Run) -> Run:
    request = world.pending(run)
    decide(
        approval_id=request.pk, actor=world.operator(), decision="reject", digest=request.digest, reason="No"
    )
    return world.carry_on(run)


def test_a_call_is_taken_back_by_a_run_of_its_own(play: Play) -> None:
    publish()
    run = booked(play, "1A")
    assert state(run) == State.OFFERED
    undoing = undo_call(row(run).pk, actor=world.operator())
    assert state(run) == State.ASKED
    undoing = world.carry_on(undoing)
    assert (undoing.status, undoing.input) == ("completed", "Undo: Book seat 1A")
    assert world.calls(undoing) == [("cancel_seat", "succeeded")]
    assert reversible.done() == ["book 1A", "cancel B-1A taken back nobody"]
    assert state(run) == State.UNDONE
    event = Event.objects.get(run_id=run.pk, name="tool_call.undo_asked")
    assert (event.actor, event.data["run"]) == ("user:ana", str(undoing.pk))


def test_it_passes_the_gate_and_may_be_asked_for_again_where_it_did_nothing(play: Play) -> None:
    publish(policy=[{"tool": "cancel_seat", "then": "require"}, {"then": "allow"}])
    run = booked(play, "1A")
    undoing = world.carry_on(undo_call(row(run).pk, actor=world.operator()))
    assert undoing.status == "waiting_approval"
    assert world.pending(undoing).title == "Cancel booking B-1A"
    with pytest.raises(WrongState, match="asked already"):
        undo_call(row(run).pk, actor=world.operator())
    assert reject(undoing).status == "cancelled"
    assert state(run) == State.OFFERED
    again = world.carry_on(undo_call(row(run).pk, actor=world.operator("bo")))
    assert world.carry_on_approved(again).status == "completed"
    assert state(run) == State.UNDONE
    with pytest.raises(WrongState, match="undone already"):
        undo_call(row(run).pk, actor=world.operator())
    assert reversible.done() == ["book 1A", "cancel B-1A taken back nobody"]


def test_two_people_at_once_take_it_back_once(play: Play) -> None:
    publish()
    run = booked(play, "1A")
    call_id, people = row(run).pk, [world.operator(f"op{number}") for number in range(6)]

    outcomes = at_once(*(partial(undo_call, call_id, actor=actor) for actor in people))
    made = [each for each in outcomes if isinstance(each, Run)]
    assert [type(each) for each in outcomes if each not in made] == [WrongState] * 5
    world.carry_on(made[0])
    assert reversible.done() == ["book 1A", "cancel B-1A taken back nobody"]


def test_a_run_that_broke_off_is_rolled_back_newest_first(play: Play) -> None:
    run = broken_off(play, "1A", "2B", "3C")
    assert run.status == "limit_exceeded"
    back = world.carry_on(undo_run(run.pk, actor=world.operator()))
    assert back.status == "completed"
    assert [line.split()[1] for line in reversible.done()[3:]] == ["B-3C", "B-2B", "B-1A"]
    assert {state(run, number) for number in range(3)} == {State.UNDONE}
    with pytest.raises(WrongState, match="any more"):
        undo_run(run.pk, actor=world.operator())


def test_rolling_back_stops_where_it_fails_and_goes_on_when_asked_again(play: Play) -> None:
    run = broken_off(play, "1A", "2B", "3C")
    reversible.fail_to_cancel("2B")
    back = world.carry_on(undo_run(run.pk, actor=world.operator()))
    assert (back.status, back.reason) == ("failed", "the counter is closed")
    assert [state(run, number) for number in range(3)] == [State.OFFERED, State.OFFERED, State.UNDONE]
    tools.ledger().with_name("2B.stuck").unlink()
    assert world.carry_on(undo_run(run.pk, actor=world.operator())).status == "completed"
    assert [line.split()[1] for line in reversible.done()[3:]] == ["B-3C", "B-2B", "B-1A"]


def test_each_step_of_rolling_back_waits_for_its_person(play: Play) -> None:
    run = broken_off(play, "1A", "2B")
    publish(
        policy=[{"tool": "cancel_seat", "then": "require"}, {"then": "allow"}]
    )  # the policy of now counts
    back = world.carry_on(undo_run(run.pk, actor=world.operator()))
    assert back.status == "waiting_approval"
    with pytest.raises(WrongState, match="wait for that"):
        undo_run(run.pk, actor=world.operator())
    single = undo_call(row(run, 0).pk, actor=world.operator())  # of one that its turn has not come to
    world.carry_on(single)
    world.carry_on_approved(single)
    back = world.carry_on_approved(back)
    assert (back.status, world.calls(back)) == ("cancelled", [("cancel_seat", "succeeded")])
    assert "somebody else" in back.reason
    assert [line.split()[1] for line in reversible.done()[2:]] == ["B-1A", "B-2B"]


def test_what_can_not_be_undone_says_why(play: Play) -> None:
    publish()
    play(
        [
            together(
                call("pay", account="acme", amount=1),
                call("add_note", text="x"),
                call("book_seat", seat="1A"),
            ),
            say("Done."),
        ]
    )
    run = world.carry_on(world.start())
    with pytest.raises(WrongState, match="No tool is named that undoes pay"):
        undo_call(row(run, 0).pk, actor=world.operator())
    with pytest.raises(WrongState, match="completed: undo its calls one by one"):
        undo_run(run.pk, actor=world.operator())
    with pytest.raises(NotAllowed):
        undo_call(row(run, 2).pk, actor=Actor(user=world.person("ann", "analyst")))
    with pytest.raises(MissingRun):
        undo_call(row(run, 2).pk, actor=Actor(user=world.person("robot", "service")))
    publish(tools=[tool for tool in TOOLS if "cancel" not in tool["python"]])
    with pytest.raises(WrongState, match="cancel_seat, which the agent no longer has"):
        undo_call(row(run, 2).pk, actor=world.operator())
    ToolCall.objects.filter(pk=row(run, 2).pk).update(result={"type": "success", "data": "booked"})
    publish()
    with pytest.raises(WrongState, match=r"has no 'booking\.id'"):
        undo_call(row(run, 2).pk, actor=world.operator())


def test_the_page_offers_it_and_leads_to_the_run_that_does_it(play: Play, client: Client) -> None:
    run = broken_off(play, "1A", "2B")
    client.force_login(world.person("ana", "operator"), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/runs/{run.pk}").content.decode()
    assert page.count(">Undo</button>") == 2
    assert "Roll back what it did" in page
    response = client.post(f"/runs/{run.pk}/calls/{row(run).pk}/undo")
    undoing = Run.objects.exclude(pk=run.pk).get()
    assert response["Location"] == f"/runs/{undoing.pk}"
    assert "Being undone" in client.get(f"/runs/{run.pk}").content.decode()
    world.carry_on(undoing)
    page = client.get(f"/runs/{run.pk}").content.decode()
    assert (page.count(">Undo</button>"), page.count(">Undone</a>")) == (1, 1)
    own = client.get(f"/runs/{undoing.pk}").content.decode()
    assert f'href="/runs/{run.pk}"' in own
    response = client.post(f"/runs/{run.pk}/undo")
    back = Run.objects.exclude(pk__in=[run.pk, undoing.pk]).get()
    assert response["Location"] == f"/runs/{back.pk}"
    world.carry_on(back)
    assert "Roll back what it did" not in client.get(f"/runs/{run.pk}").content.decode()
    assert (
        "undone already"
        in client.post(f"/runs/{run.pk}/calls/{row(run).pk}/undo", follow=True).content.decode()
    )

    client.force_login(world.person("ann", "analyst"), backend="django.contrib.auth.backends.ModelBackend")
    assert "Undo</button>" not in client.get(f"/runs/{run.pk}").content.decode()
    assert client.post(f"/runs/{run.pk}/undo").status_code == 403


def test_a_call_through_the_gateway_is_undone_likewise() -> None:
    version = world.publish_gateway("door", tools=TOOLS, policy=[{"then": "allow"}])
    actor = world.operator("robot")
    run = call_tool(version=version, tool="book_seat", arguments={"seat": "1A"}, actor=actor, via="mcp").run
    undoing = world.carry_on(undo_call(row(run).pk, actor=world.operator()))
    assert world.calls(undoing) == [("cancel_seat", "succeeded")]
    assert undoing.taint_sources == run.taint_sources == ["mcp"]


def test_a_worker_that_dies_between_two_calls_repeats_none(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = broken_off(play, "1A", "2B")
    back = undo_run(run.pk, actor=world.operator())

    def die(*_: Any) -> None:
        raise RuntimeError("the worker died")

    with monkeypatch.context() as patched:
        patched.setattr("agents.runtime.sequence.call_next", die)
        with pytest.raises(RuntimeError):
            world.carry_on(back)
    assert world.carry_on(back).status == "completed"
    assert [line.split()[1] for line in reversible.done()[2:]] == ["B-2B", "B-1A"]
