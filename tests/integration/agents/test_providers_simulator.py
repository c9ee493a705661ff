"""The simulator as a program of its own."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

pytestmark = pytest.mark.req("MOD-1")
COMMAND = [sys.executable, "-m", "agents.simulator"]


def test_it_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    script = tmp_path / "scripts.yaml"
    script.write_text("- {name: a, when: {user: hi}, executor: {text: Hello.}}")
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--scripts", str(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        word, url, *rest = process.stdout.readline().split()
        assert (word, rest) == ("ready", ["scripts", "1"])
        try:
            with httpx2.Client(base_url=url, trust_env=False) as client:
                assert client.get("/healthz").json() == {"status": "ok", "scripts": 1}
                body = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
                assert client.post("/v1/messages", json=body).json()["content"][0]["text"] == "Hello."
                assert (
                    client.post("/v1/messages", content=b"{").json()["error"]["type"]
                    == "invalid_request_error"
                )
        finally:
            process.send_signal(signal.SIGTERM)
        process.wait(10)


def test_a_port_in_use_and_a_broken_script_are_one_line_each(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = subprocess.run([*COMMAND, "--port", port], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert (
        refused.stderr.strip() == f"The simulator can't listen on 127.0.0.1:{port}: Address already in use."
    )
    broken = tmp_path / "broken.yaml"
    broken.write_text("- {name: x}")
    refused = subprocess.run(
        [*COMMAND, "--port", "0", "--scripts", str(broken)], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr == f"{broken}: script 'x': when: Field required\n"
