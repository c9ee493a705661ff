"""Other programs' agents through /mcp, with the real client: the one gate, and nothing lost by going away."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.test import Client as Browser
from django.utils import timezone
from mcp import Client

from agents.decisions import decide
from agents.models import Run, ToolCall
from agents.tools.mcp import sessions
from approvals.models import Approval
from approvals.settling import expire_due
from console.people.tokens import make_token
from tests import tools, world
from tests.integration.console import gateway
from tests.integration.console.gateway import call, meta_of, text_of, using
from tests.waiting import until
from traces.models import Span

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-10")]
NOW = {"gatehouse/wait": 0}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway.serving() as where:
        yield where


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture(autouse=True)
def no_sessions() -> Iterator[None]:
    yield
    sessions.close_all()


@pytest.fixture
def token() -> str:
    world.publish_gateway(policy=[{"tool": "get_balance", "then": "allow"}])
    return make_token(user=world.person("robot", "service"), role="service", agent="door", now=timezone.now())


def test_a_client_sees_what_it_was_granted_and_the_own_tools(url: str, token: str) -> None:
    async def look(it: Client) -> dict[str, Any]:
        return {tool.name: tool for tool in (await it.list_tools()).tools}

    listed = using(url, token, look)

    assert {"get_balance", "pay", "request_approval", "get_approval", "start_run", "get_run"} <= listed.keys()
    assert listed["get_balance"].annotations.read_only_hint is True
    assert listed["pay"].annotations.destructive_hint is True
    assert listed["pay"].input_schema["required"] == ["account", "amount"]


@pytest.mark.parametrize("cursor", ["9" * 5000, "x", "-1"])
def test_a_cursor_that_is_none_begins_anew(url: str, token: str, cursor: str) -> None:
    async def look(it: Client) -> set[str]:
        return {tool.name for tool in (await it.list_tools(cursor=cursor)).tools}

    assert "pay" in using(url, token, look)


def test_a_read_runs_at_once_and_leaves_a_trace(url: str, token: str) -> None:
    result = call(url, token, "get_balance", account="acme")

    assert not result.is_error
    assert "acme" in text_of(result)
    run = Run.objects.get(pk=meta_of(result)["gatehouse/run"])
    assert (run.status, str(run.started_by)) == ("completed", "robot")
    assert Span.objects.filter(run_id=run.pk, tool="get_balance").exists()


def test_an_edited_call_runs_as_edited_and_the_client_is_told(url: str, token: str) -> None:
    async def pay(it: Client) -> Any:
        heard: list[str | None] = []

        async def progress(progress: float, total: float | None, message: str | None) -> None:
            heard.append(message)

        asked = asyncio.create_task(
            it.call_tool("pay", {"account": "acme", "amount": 5}, progress_callback=progress)
        )
        await asyncio.to_thread(_edit, 4)
        return await asked, heard

    result, heard = using(url, token, pay)

    assert not result.is_error
    assert "amount from 5 to 4 before approving" in text_of(result)
    assert any("A person must decide" in str(message) for message in heard)
    assert paid() == [4]


def paid() -> list[float]:
    """What was paid, in order."""
    return [float(line.split()[-1]) for line in tools.effects()]


def _edit(amount: int) -> None:
    until(lambda: Approval.objects.filter(status="pending").exists(), "it asks")
    request = Approval.objects.get(status="pending")
    arguments = {"account": "acme", "amount": amount}
    decide(
        approval_id=request.pk,
        actor=world.operator(),
        decision="edit",
        digest=request.digest,
        arguments=arguments,
    )
    assert request.run_id is not None
    world.carry_on(Run.objects.get(pk=request.run_id))


def test_who_does_not_wait_is_told_where_to_ask(url: str, token: str) -> None:
    result = call(url, token, "pay", meta=NOW, account="acme", amount=5)

    assert result.structured_content["status"] == "pending"
    approval = result.structured_content["approval_id"]
    asked = call(url, token, "get_approval", approval_id=approval)
    assert asked.structured_content["status"] == "pending"
    world.carry_on_approved(Run.objects.get())
    done = call(url, token, "get_approval", approval_id=approval)
    assert "Note" not in text_of(done)
    assert meta_of(done)["gatehouse/status"] == "succeeded"
    assert paid() == [5]


def test_denied_and_expired_are_two_words(url: str, token: str) -> None:
    denied = call(url, token, "pay", meta=NOW, account="acme", amount=5).structured_content["approval_id"]
    expired = call(url, token, "pay", meta=NOW, account="acme", amount=6).structured_content["approval_id"]
    request = Approval.objects.get(pk=denied)
    decide(
        approval_id=request.pk, actor=world.operator(), decision="reject", digest=request.digest, reason="No"
    )
    Approval.objects.filter(pk=expired).update(expires_at=timezone.now())
    expire_due(now=timezone.now())
    for run in Run.objects.all():
        world.carry_on(run)

    first, second = (call(url, token, "get_approval", approval_id=each) for each in (denied, expired))

    assert first.is_error
    assert first.structured_content["status"] == "denied"
    assert "An operator rejected this call: No." in text_of(first)
    assert second.is_error
    assert second.structured_content["status"] == "expired"
    assert paid() == []


def test_a_client_that_died_waiting_gets_the_result_when_it_asks_again(url: str, token: str) -> None:
    async def leave(it: Client) -> None:
        asked = asyncio.create_task(it.call_tool("pay", {"account": "acme", "amount": 5}))
        await asyncio.to_thread(until, Approval.objects.exists, "it asks")
        asked.cancel()

    using(url, token, leave)
    world.carry_on_approved(Run.objects.get())

    result = call(url, token, "pay", account="acme", amount=5)

    assert meta_of(result)["gatehouse/status"] == "succeeded"
    assert ToolCall.objects.count() == 1
    assert paid() == [5]
    until(lambda: Run.objects.get().metadata.get("heard") is True, "it was heard")
    again = call(url, token, "pay", meta=NOW, account="acme", amount=5)
    assert again.structured_content["status"] == "pending"  # another payment, and another question


def test_a_key_makes_it_one_call(url: str, token: str) -> None:
    meta = {**NOW, "gatehouse/idempotencyKey": "order-7"}
    answers = [call(url, token, "pay", meta=meta, account="acme", amount=5) for _ in range(3)]
    other = call(url, token, "pay", meta=meta, account="acme", amount=6)

    assert len({meta_of(each)["gatehouse/run"] for each in answers}) == 1
    assert other.is_error
    assert "stands for another call" in text_of(other)


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("get_balanc", {"account": "acme"}, "Did you mean get_balance?"),
        ("pay", {"account": "acme"}, "'amount' is a required property"),
        ("get_run", {"run_id": "x"}, "The arguments of get_run don't fit"),
        ("get_run", {"run_id": "0198b9a2-0000-7000-8000-000000000000"}, "There is no run"),
        ("start_run", {"agent": "door", "input": "Pay."}, "asks no model"),
    ],
)
def test_a_mistake_is_told_in_words(
    url: str, token: str, tool: str, arguments: dict[str, Any], told: str
) -> None:
    result = call(url, token, tool, **arguments)

    assert result.is_error
    assert told in text_of(result)


def test_a_program_asks_for_its_own_tools(url: str, token: str) -> None:
    asked = call(
        url, token, "request_approval", tool="wire.send", arguments={"amount": 3}, reason="It is due"
    )
    approval = Approval.objects.get(pk=asked.structured_content["approval_id"])
    assert str(approval.requested_by) == "robot"
    decide(approval_id=approval.pk, actor=world.operator(), decision="approve", digest=approval.digest)

    told = call(url, token, "get_approval", approval_id=str(approval.pk)).structured_content

    assert (told["status"], told["arguments"]) == ("approved", {"amount": 3})


def test_the_pages_of_a_call_say_who_asked_by_which_door_and_that_no_model_took_part(
    url: str, token: str
) -> None:
    meta = {**NOW, "gatehouse/reason": "The invoice is due."}
    told = call(url, token, "pay", meta=meta, account="acme", amount=5).structured_content
    browser = Browser()
    browser.force_login(world.operator().user)

    card, run, queue = (
        browser.get(path).content.decode()
        for path in (f"/inbox/{told['approval_id']}", f"/runs/{told['run_id']}", "/inbox/queue")
    )

    for page in (card, run):
        assert "robot, another program" in page
        assert "The program says" in page or "What the program says" in page
        assert "The invoice is due." in page
    assert "the MCP gateway" in card
    assert "no model was asked here" in card
    assert "no model took part here" in run
    assert "robot called a tool through the gateway" in run
    assert "written by the team" not in run
    assert "robot, by door" in queue


def test_a_key_asks_once_for_its_own_tools_too(url: str, token: str) -> None:
    def ask(amount: int) -> Any:
        wire = {"tool": "wire.send", "arguments": {"amount": amount}}
        meta: Any = {"gatehouse/idempotencyKey": "ask-1"}
        return using(url, token, lambda it: it.call_tool("request_approval", wire, meta=meta))

    asked, refused = [ask(3), ask(3)], ask(4)

    assert asked[0].structured_content == asked[1].structured_content
    assert Approval.objects.count() == 1
    assert refused.is_error
    assert "was used for another request" in text_of(refused)


def test_no_token_no_entry(url: str, token: str) -> None:
    for header in ({}, {"Authorization": "Bearer gth_no"}, {"Authorization": "Basic Zm9v"}):
        with httpx2.Client(trust_env=False) as http:
            answer = http.post(f"{url}/mcp", json={}, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_servers_tools_are_behind_the_gate_and_its_progress_comes_through(url: str, token: str) -> None:
    command = (sys.executable, "-m", "tests.mcp_servers.workshop")
    world.publish_gateway(
        tools=[
            {
                "mcp": {
                    "name": "workshop",
                    "command": command,
                    "effects": {"count": "read"},
                    "include": ["count", "wipe"],
                }
            }
        ]
    )
    heard: list[str | None] = []

    async def count(it: Client) -> Any:
        async def progress(progress: float, total: float | None, message: str | None) -> None:
            heard.append(message)

        return await it.call_tool("count", {"to": 3}, progress_callback=progress)

    assert "counted to 3" in text_of(using(url, token, count))
    assert heard == ["at 1", "at 2", "at 3"]
    wiped = call(url, token, "wipe", meta=NOW, disk="a")
    assert wiped.structured_content["status"] == "pending"  # whatever its server says of it


def test_scopes_and_rates_hold(url: str, token: str, settings: Any) -> None:
    robot = world.person("robot", "service")

    def scoped(*scopes: str) -> str:
        return make_token(user=robot, role="service", scopes=scopes, agent="door", now=timezone.now())

    def status(of: str) -> httpx2.Response:
        with httpx2.Client(trust_env=False) as http:
            return http.post(f"{url}/mcp", json={}, headers={"Authorization": f"Bearer {of}"})

    assert status(scoped("read")).status_code == 403
    names = using(url, scoped("mcp"), _names)
    assert "pay" in names
    assert "get_approval" in names
    assert not {"start_run", "request_approval"} & names
    assert "lacks the scope 'run'" in text_of(call(url, scoped("mcp"), "start_run", agent="a", input="b"))
    settings.API_RATE = 1
    busy = scoped("mcp")
    status(busy)
    refused = status(busy)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def _names(it: Client) -> set[str]:
    return {tool.name for tool in (await it.list_tools()).tools}


def test_fifty_clients_at_once(url: str, token: str) -> None:
    async def all_of_them() -> list[Any]:
        async def one() -> Any:
            async with gateway.client(url, token) as it:
                return await it.call_tool("get_balance", {"account": "acme"})

        return await asyncio.gather(*(one() for _ in range(50)))

    results = asyncio.run(all_of_them())

    assert not any(result.is_error for result in results)
    assert Run.objects.filter(status="completed").count() == 50


@pytest.mark.parametrize(
    ("tool", "meta", "arguments"),
    [
        ("get_balance", {"gatehouse/wait": 10**400}, {"account": "acme"}),
        ("get_balance", {"gatehouse/reason": "a\x00b"}, {"account": "acme"}),
        ("request_approval", {}, {"tool": "x", "arguments": {"a\x00": "\x00"}}),
    ],
)
def test_odd_values_are_taken_as_well_as_may_be(
    url: str, token: str, tool: str, meta: dict[str, Any], arguments: dict[str, Any]
) -> None:
    result = using(url, token, lambda it: it.call_tool(tool, arguments, meta=meta))  # type: ignore[arg-type]

    assert not result.is_error


def test_half_a_character_becomes_a_sign_for_it(url: str, token: str) -> None:
    body = (
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", '
        b'"params": {"name": "get_balance", "arguments": {"account": "acme\\ud83d"}}}'
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
    }
    answer = httpx2.post(f"{url}/mcp", content=body, headers=headers, trust_env=False)
    assert "there is no account 'acme\ufffd'" in answer.text.replace("\\ufffd", "\ufffd")


@pytest.mark.parametrize("name", ["nul\x00", "x" * 5000])
def test_a_tool_of_an_odd_name_is_refused_in_words(url: str, token: str, name: str) -> None:
    result = call(url, token, name)

    assert result.is_error
    assert "There is no tool" in text_of(result)


def test_keys_that_differ_late_are_different(url: str, token: str) -> None:
    runs = {
        meta_of(
            call(
                url,
                token,
                "pay",
                meta=NOW | {"gatehouse/idempotencyKey": "k" * 300 + end},
                account="acme",
                amount=5,
            )
        )["gatehouse/run"]
        for end in "ab"
    }

    assert len(runs) == 2


def test_a_callback_that_may_not_be_sent_is_refused_when_it_is_named(url: str, token: str) -> None:
    result = call(
        url, token, "request_approval", tool="x", arguments={}, callback_url="http://169.254.169.254/"
    )

    assert result.is_error
    assert "callback_url" in text_of(result)
    assert not Approval.objects.exists()


def test_a_server_does_not_speak_in_the_name_of_an_own_tool(url: str, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("get_run")
    command = [sys.executable, "tests/mcp_servers/scoundrel.py", "changing", str(tmp_path)]
    world.publish_gateway(tools=[{"mcp": {"name": "rogue", "command": command}}])
    made = make_token(user=world.person("robot", "service"), role="service", agent="door", now=timezone.now())

    async def look(it: Client) -> list[tuple[str, str | None]]:
        return [(tool.name, tool.description) for tool in (await it.list_tools()).tools]

    listed = using(url, made, look)

    assert [name for name, _ in listed].count("get_run") == 1
    assert "greet" in dict(listed)
    assert "Where a run stands" in str(dict(listed)["get_run"])
