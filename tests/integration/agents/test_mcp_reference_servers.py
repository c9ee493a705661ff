"""The reference MCP servers: each of their tools listed, and called through the gate."""

import base64
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from agents.config.tools import McpServer
from agents.models import Attachment, PinnedTool, Run, ToolCall
from agents.providers.base import ModelResponse
from agents.providers.scripted import call, say
from agents.tools.mcp import sessions
from tests import world
from tests.integration.agents.conftest import Play
from tests.mcp_servers import reference
from tests.waiting import until

# The first test installs the servers, which takes as long as the registry does.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.req("TOOL-1", "TOOL-3"),
    pytest.mark.timeout(600),
]

LIMITS = {"turns": 40, "tokens": 500_000}
TEXT = base64.b64encode(b"a text to be packed").decode()

EVERYTHING: dict[str, tuple[dict[str, Any], str]] = {  # arguments, and what the result must hold
    "echo": ({"message": "hello"}, "Echo: hello"),
    "get-annotated-message": ({"messageType": "success", "includeImage": True}, "image/png"),
    "get-env": ({}, "PATH"),
    "get-resource-links": ({"count": 2}, "resource_link"),
    "get-resource-reference": ({"resourceType": "Blob", "resourceId": 1}, "resource"),
    "get-structured-content": ({"location": "Chicago"}, "temperature"),
    "get-sum": ({"a": 2, "b": 3}, "5"),
    "get-tiny-image": ({}, "image/png"),
    "gzip-file-as-resource": (
        {"name": "text.gz", "data": f"data:text/plain;base64,{TEXT}", "outputType": "resource"},
        "application/gzip",
    ),
    "toggle-simulated-logging": ({}, "logging"),
    "toggle-subscriber-updates": ({}, "updates"),
    "trigger-long-running-operation": ({"duration": 0.2, "steps": 2}, "completed"),
}
# It is for clients that take part in an extension of the protocol; the others are told so.
TASK_ONLY = {"simulate-research-query": {"topic": "tea"}}


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """The servers."""
    reference.install()


@pytest.fixture(autouse=True)
def no_sessions() -> Iterator[None]:
    """Each test leaves none."""
    yield
    sessions.close_all()


@pytest.fixture
def everything_by_http(settings: Any) -> Iterator[str]:
    """The address of the server that has everything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings.EGRESS = [f"http://127.0.0.1:{port}"]
    command = reference.server("server-everything", "streamableHttp")
    environment = {**os.environ, "PORT": str(port)}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet) as process:
        try:
            until(lambda: _answers(port), "the server listens")
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def _answers(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def call_all(
    play: Play, spec: McpServer, wanted: list[tuple[str, dict[str, Any]]]
) -> tuple[Run, list[ToolCall]]:
    """Have an agent make these calls, one a turn, through a gate that lets it."""
    script: list[ModelResponse] = [call(name, **arguments) for name, arguments in wanted]
    play([*script, say("Done.")])
    world.publish_agent(tools=[{"mcp": spec.model_dump()}], policy=[{"then": "allow"}], limits=LIMITS)
    run = world.carry_on(world.start())
    return run, list(ToolCall.objects.filter(run=run).order_by("step__seq"))


@pytest.mark.parametrize("way", ["stdio", "http"])
def test_every_tool_of_the_server_that_has_everything(
    way: str, play: Play, request: pytest.FixtureRequest
) -> None:
    if way == "http":
        spec = McpServer(name="everything", url=request.getfixturevalue("everything_by_http"))
    else:
        spec = McpServer(name="everything", command=reference.server("server-everything", "stdio"))
    wanted = [(name, arguments) for name, (arguments, _) in EVERYTHING.items()]
    run, made = call_all(play, spec, [*wanted, *TASK_ONLY.items()])
    assert set(PinnedTool.objects.values_list("name", flat=True)) == EVERYTHING.keys() | TASK_ONLY.keys()
    assert run.status == "completed"
    for each, (name, (_, words)) in zip(made[: len(EVERYTHING)], EVERYTHING.items(), strict=True):
        assert (each.tool, each.status) == (name, "succeeded"), each.result
        assert words in str(each.result)
    assert [each.status for each in made[len(EVERYTHING) :]] == ["failed"]
    assert "DATABASE_URL" not in str(made[2].result) or way == "http"
    kinds = set(Attachment.objects.values_list("media_type", flat=True))
    assert {"image/png", "application/gzip"} <= kinds


def test_every_tool_of_the_file_server(play: Play, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "one.txt").write_text("first\nsecond\n")
    (folder / "pixel.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    one, two = str(folder / "one.txt"), str(folder / "two.txt")
    wanted: dict[str, dict[str, Any]] = {
        "read_file": {"path": one},
        "read_text_file": {"path": one, "head": 1},
        "read_media_file": {"path": str(folder / "pixel.png")},
        "read_multiple_files": {"paths": [one]},
        "write_file": {"path": two, "content": "new"},
        "edit_file": {"path": two, "edits": [{"oldText": "new", "newText": "newer"}]},
        "create_directory": {"path": str(folder / "inner")},
        "list_directory": {"path": str(folder)},
        "list_directory_with_sizes": {"path": str(folder)},
        "directory_tree": {"path": str(folder)},
        "move_file": {"source": two, "destination": str(folder / "inner" / "two.txt")},
        "search_files": {"path": str(folder), "pattern": "**/*.txt"},
        "get_file_info": {"path": one},
        "list_allowed_directories": {},
    }
    spec = McpServer(name="files", command=reference.server("server-filesystem", str(folder)))
    run, made = call_all(play, spec, [*wanted.items(), ("read_file", {"path": "/etc/passwd"})])
    assert run.status == "completed"
    assert set(PinnedTool.objects.values_list("name", flat=True)) == wanted.keys()
    assert {each.tool: each.status for each in made[:-1]} == dict.fromkeys(wanted, "succeeded")
    assert (folder / "inner" / "two.txt").read_text() == "newer"
    assert "second" not in str(made[1].result)
    assert made[-1].status == "failed"
    assert "Access denied" in made[-1].error


def test_a_killed_server_comes_back_and_a_hung_one_times_out(play: Play) -> None:
    name = "trigger-long-running-operation"
    command = reference.server("server-everything", "stdio")
    spec = McpServer(name="everything", command=command, options={name: {"timeout": 1}})
    _, made = call_all(play, spec, [(name, {"duration": 60, "steps": 2})])
    assert made[0].status == "unknown"
    assert "did not answer within 1 s" in made[0].error
    [server] = [
        each for each in psutil.Process().children() if "server-everything" in " ".join(each.cmdline())
    ]
    server.send_signal(signal.SIGKILL)
    connection = sessions.session_of(spec)._connection
    # Until that was seen, a call that is sent is lost, and unknown.
    until(lambda: connection is None or connection.over.is_set(), "it was seen that the server is dead")
    play([call("echo", message="again"), say("Done.")])
    again = world.carry_on(world.start())
    assert world.calls(again) == [("echo", "succeeded")]
