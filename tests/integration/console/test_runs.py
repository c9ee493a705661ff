"""The pages of runs: the list, one run as it happens, starting and steering by hand."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents.decisions import decide
from agents.models import Run, Step, StepKind, ToolCall
from agents.providers.routing import using
from agents.providers.scripted import Scripted, call, say, together
from agents.states import CallStatus, RunStatus
from approvals.states import ApprovalStatus
from console.narration import APPROVAL_WORDS, CALL_WORDS, RUN_WORDS
from tests import world

pytestmark = pytest.mark.django_db(transaction=True)
HOSTILE = '<script>alert("x")</script>\u202e'


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def ana(client: Client) -> User:
    """An operator, signed in."""
    user = world.person("ana", "operator")
    client.force_login(user)
    return user


@pytest.fixture
def waiting(ana: User) -> Iterator[Run]:
    """A run that waits for a decision about a payment; its model has one more answer."""
    script = [
        together(say(f"I look. {HOSTILE}"), call("get_balance", account="acme")),
        together(say("We owe 40."), call("pay", account="acme", amount=40)),
        say("Paid."),
    ]
    world.publish_agent()
    with using(Scripted(script)):
        yield world.carry_on(world.start(input=f"Pay acme. {HOSTILE}", started_by=ana))


def page(client: Client, path: str, **headers: str) -> str:
    response = client.get(path, headers=headers)
    assert response.status_code == 200, response.content
    return response.content.decode()


def fragment(client: Client, path: str) -> str:
    return page(client, path, **{"HX-Request": "true"})


def step_ids(html: str) -> list[str]:
    return re.findall(r'<li id="(step-\d+)"', html)


@pytest.mark.req("RUN-8", "OPS-3")
def test_strangers_and_programs_see_no_runs(client: Client, waiting: Run) -> None:
    paths = [
        "/runs",
        "/runs/start",
        f"/runs/{waiting.pk}",
        f"/runs/{waiting.pk}/steps",
        f"/runs/{waiting.pk}/cancel",
    ]
    client.logout()
    for path in paths:
        assert client.get(path).headers["Location"].startswith("/sign-in?next=")
    client.force_login(world.person("robot", "service"))
    for path in paths:
        assert client.get(path).status_code == 403


@pytest.mark.req("RUN-8")
def test_the_list_says_where_each_run_stands_and_what_waits_for_a_person(
    client: Client, waiting: Run
) -> None:
    html = page(client, "/runs")
    assert f'href="/runs/{waiting.pk}"' in html
    assert "Waits for a decision" in html
    assert "1 to decide" in html
    assert "simulated" in html
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


@pytest.mark.req("RUN-8")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("agent=teller", True),
        ("agent=other", False),
        ("status=waiting_approval", True),
        ("status=open", True),
        ("status=completed", False),
        ("text=ACME", True),
        ("text=globex", False),
        ("text=%00", True),
        ("text={id}", True),
        ("text=01a1fd3a-294c-77db-9f40-6ba8b2445374", False),
    ],
)
def test_the_list_can_be_narrowed(client: Client, waiting: Run, query: str, found: bool) -> None:
    html = page(client, "/runs?" + query.format(id=waiting.pk))
    assert (f"run-{waiting.pk}" in html) is found
    assert ("No run matches this." in html) is not found


@pytest.mark.req("RUN-8")
def test_pages_of_the_list_hold_each_run_once_while_new_ones_arrive(client: Client, ana: User) -> None:
    version = world.publish_agent()
    now = timezone.now()
    made = [
        Run.objects.create(
            version=version, input=f"task {number}", created_at=now - timedelta(seconds=number // 3)
        )
        for number in range(70)
    ]
    seen: list[str] = []
    path = "/runs?agent=teller"
    while path:
        html = page(client, path)
        seen += re.findall(r'id="run-([0-9a-f-]{36})"', html)
        Run.objects.create(version=version, input="newer", created_at=now + timedelta(seconds=1))
        older = re.search(r'href="([^"]+)" rel="next"', html)
        path = older[1].replace("&amp;", "&") if older else ""
        assert not path or "agent=teller" in path
    assert sorted(seen) == sorted(str(run.pk) for run in made)


@pytest.mark.req("RUN-8")
def test_a_cursor_that_no_list_gave_out_is_no_page(client: Client, ana: User) -> None:
    for cursor in (
        "x",
        "W10",
        "bnVsbA",
        "%00",
        "WyIyMDI2LTAxLTAxIiwgIjEiXQ",
        "WyIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsICJ4Il0",
    ):
        assert client.get(f"/runs?cursor={cursor}").status_code == 404, cursor


@pytest.mark.req("RUN-8")
def test_a_run_tells_why_it_stands_where_it_stands(client: Client, waiting: Run) -> None:
    html = page(client, f"/runs/{waiting.pk}")
    assert "Waits for a decision" in html
    assert "A person must decide about a call." in html
    assert "Pay EUR 40.00 to acme" in html
    assert f'href="/inbox/{world.pending(waiting).pk}"' in html
    assert f'href="/traces/{waiting.pk.hex}"' in html
    assert "Strangers may have written this" in html
    assert "The agent says" in html
    assert '<script>alert("x")</script>' not in html
    assert "U+202E" in html
    assert client.get("/runs/01a1fd3a-294c-77db-9f40-6ba8b2445374").status_code == 404


@pytest.mark.req("RUN-8")
def test_an_open_page_gets_what_is_new_and_what_may_have_changed_and_nothing_else(
    client: Client, waiting: Run
) -> None:
    steps = f"/runs/{waiting.pk}/steps"
    assert step_ids(fragment(client, steps)) == ["step-1", "step-2"]
    assert re.findall(r'id="step-(\d+)".*?data-open', fragment(client, steps)) == ["2"]
    assert step_ids(fragment(client, f"{steps}?after=2")) == []
    request = world.pending(waiting)
    decide(
        approval_id=request.pk,
        actor=world.operator("ben"),
        decision="edit",
        digest=request.digest,
        arguments={"account": "acme", "amount": 25},
        reason="15 came back",
    )
    world.carry_on(waiting)

    html = fragment(client, f"{steps}?after=2&open=2")
    assert step_ids(html) == ["step-2", "step-3"]
    assert "data-open" not in html
    assert "Approved with changes" in html
    assert "by ben" in html
    assert "15 came back" in html
    assert "<del>40" in html
    assert "<ins>25" in html
    head = fragment(client, f"/runs/{waiting.pk}")
    assert "Completed" in head
    assert "<html" not in head


@pytest.mark.req("RUN-8")
def test_asking_after_every_push_leaves_no_gap_and_no_duplicate(client: Client, ana: User) -> None:
    world.publish_agent()
    run = world.start()
    shown: list[str] = []
    for text in ("one", "two", "three"):
        last = max((int(step.removeprefix("step-")) for step in shown), default=-1)
        shown += step_ids(fragment(client, f"/runs/{run.pk}/steps?after={last}"))
        for _ in range(3):  # three steps for one push: the pushes between were lost
            seq = Step.objects.filter(run=run).count() + 1
            Step.objects.create(
                run=run, seq=seq, kind=StepKind.MODEL, payload={"text": text}, created_at=timezone.now()
            )
    last = max(int(step.removeprefix("step-")) for step in shown)
    shown += step_ids(fragment(client, f"/runs/{run.pk}/steps?after={last}"))
    assert shown == [f"step-{number}" for number in range(1, 10)]


@pytest.mark.req("RUN-8")
def test_a_step_number_that_is_none_gets_all_steps(client: Client, waiting: Run) -> None:
    for query in ("after=", "after=-1", "after=x", "after=99999999999999999999", "open=²"):
        assert step_ids(fragment(client, f"/runs/{waiting.pk}/steps?{query}")) == ["step-1", "step-2"], query


@pytest.mark.req("RUN-8", "AGT-1")
def test_a_run_is_started_by_hand(client: Client, ana: User) -> None:
    world.publish_agent()
    assert "teller" in page(client, "/runs/start")
    response = client.post("/runs/start", {"agent": "teller", "input": " Pay acme.\n", "subject": "C-7"})
    run = Run.objects.get()
    assert response.headers["Location"] == f"/runs/{run.pk}"
    assert (run.input, run.subject, run.started_by) == (" Pay acme.\n", {"customer_id": "C-7"}, ana)
    assert run.taint_sources == ["input"]
    client.post("/runs/start", {"agent": "teller", "input": "x", "subject": '{"user": 1}', "trusted": "on"})
    trusted = Run.objects.exclude(pk=run.pk).get()
    assert (trusted.subject, trusted.taint_sources) == ({"user": 1}, [])


@pytest.mark.req("RUN-8")
@pytest.mark.parametrize(
    ("sent", "field", "message"),
    [
        ({"input": ""}, "input", "Say what the agent should do."),
        ({"input": "y" * 5001}, "input", "takes at most 5,000"),
        ({"input": "kept", "subject": "{nope"}, "subject", "This is no JSON"),
        ({"input": "kept", "subject": "[1]"}, "subject", "Write one JSON object"),
        ({"input": "kept", "agent": "ghost"}, "agent", "ghost"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_the_rest_is_kept(
    client: Client, ana: User, sent: dict[str, str], field: str, message: str
) -> None:
    world.publish_agent()
    response = client.post("/runs/start", {"agent": "teller", "input": "", "subject": "", **sent})
    html = response.content.decode()
    assert response.status_code == 422
    assert re.search(rf'id="{field}-error">[^<]*{re.escape(message)}', html), html
    assert sent["input"] in html
    assert Run.objects.count() == 0


@pytest.mark.req("RUN-8", "OPS-3")
def test_an_analyst_watches_and_steers_nothing(client: Client, waiting: Run) -> None:
    client.force_login(world.person("amir", "analyst"))
    html = page(client, f"/runs/{waiting.pk}")
    assert "Pause" not in html
    assert f"/runs/{waiting.pk}/cancel" not in html
    assert "Start a run" not in page(client, "/runs")
    assert client.get("/runs/start").status_code == 403
    assert client.post("/runs/start", {"agent": "teller", "input": "x"}).status_code == 403
    for what in ("cancel", "pause", "resume"):
        assert client.post(f"/runs/{waiting.pk}/{what}").status_code == 403
    assert Run.objects.get(pk=waiting.pk).requested == ""


@pytest.mark.req("RUN-8")
def test_an_operator_pauses_resumes_and_cancels(client: Client, waiting: Run) -> None:
    path = f"/runs/{waiting.pk}"
    client.post(f"{path}/pause")
    assert "ana asked to pause it" in page(client, path)
    assert world.carry_on(waiting).status == "paused"
    assert "Resume" in page(client, path)
    client.post(f"{path}/resume")
    assert world.carry_on(waiting).status == "waiting_approval"
    assert "Let it go on" in page(client, f"{path}/cancel")
    assert Run.objects.get(pk=waiting.pk).status == "waiting_approval"
    client.post(f"{path}/cancel", {"reason": "done by phone"})
    assert world.carry_on(waiting).status == "cancelled"
    html = client.post(f"{path}/pause", follow=True).content.decode()
    assert "there is nothing to pause" in html
    assert "Cancelled, not done" in html
    assert "It is over already" in page(client, f"{path}/cancel")


@pytest.mark.req("RUN-8")
def test_the_list_and_a_run_take_few_queries_however_much_there_is(
    client: Client, ana: User, django_assert_max_num_queries: Any
) -> None:
    version = world.publish_agent()
    now = timezone.now()
    runs = [
        Run.objects.create(version=version, input=f"task {number}", created_at=now) for number in range(30)
    ]
    for seq in range(1, 40):
        step = Step.objects.create(
            run=runs[0], seq=seq, kind=StepKind.MODEL, payload={"text": "x"}, created_at=now
        )
        ToolCall.objects.create(
            run=runs[0],
            step=step,
            index=0,
            provider_call_id=str(seq),
            tool="get_balance",
            proposed_arguments={},
            arguments={},
            created_at=now,
        )
    with django_assert_max_num_queries(14):
        page(client, "/runs")
    with django_assert_max_num_queries(16):
        page(client, f"/runs/{runs[0].pk}")


@pytest.mark.req("RUN-8")
def test_every_status_has_its_words() -> None:
    assert set(RUN_WORDS) == set(RunStatus)
    assert set(CALL_WORDS) == set(CallStatus)
    assert set(APPROVAL_WORDS) == set(ApprovalStatus)
