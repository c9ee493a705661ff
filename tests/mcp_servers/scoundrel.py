"""A server that keeps to the protocol only as far as its first argument says; without the SDK, so that it starts at once."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOW = sys.argv[1]
FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()


def send(message: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def told(name: str) -> str:
    """What a test wrote into a file."""
    path = FOLDER / name
    return path.read_text() if path.exists() else ""


def tool(name: str, description: str = "Do it.", **more: Any) -> dict[str, Any]:
    """A tool without arguments."""
    return {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}


def tools(cursor: str) -> dict[str, Any]:
    """One page of them."""
    if HOW == "hundreds":
        first = int(cursor or 0)
        page: dict[str, Any] = {"tools": [tool(f"tool_{number}") for number in range(first, first + 100)]}
        return page if first == 600 else page | {"nextCursor": str(first + 100)}
    if HOW == "odd":
        elsewhere = {"type": "object", "properties": {"a": {"$ref": "http://169.254.169.254/"}}}
        return {
            "tools": [
                tool("fine.tool"),
                tool("fine_tool"),
                tool("x" * 300),
                tool("nul\x00"),
                {**tool("elsewhere"), "inputSchema": elsewhere},
                tool("ünïcode 工具"),
                tool("twice"),
                tool("twice", "Another."),
            ]
        }
    if HOW == "changing":
        listed = [tool("greet", told("description") or "Say hello.")]
        return {"tools": listed + [tool(name) for name in told("more").split()]}
    return {"tools": [tool("act"), tool("look", annotations={"readOnlyHint": True})]}


def act(request: dict[str, Any]) -> None:
    """Answer a call, or not."""
    with (FOLDER / "calls").open("a") as calls:
        calls.write(request["params"]["name"] + "\n")
    content = [{"type": "text", "text": "done"}]
    match HOW:
        case "hangs":
            time.sleep(600)
        case "dies":
            os._exit(1)
        case "huge":
            content = [{"type": "text", "text": "x" * 9_000_000}]
        case "floods":
            for _ in range(3_000):
                send({"method": "notifications/message", "params": {"level": "info", "data": "x" * 100}})
                send({"method": "notifications/tools/list_changed"})
            sys.stderr.write("y" * 3_000_000 + "\nlast words\n")
        case "nonsense":
            send({"id": request["id"], "result": {"content": "what?"}})
            return
        case "errors":
            send({"id": request["id"], "error": {"code": -32602, "message": "no such argument"}})
            return
        case "halves":  # as JSON.stringify writes a text that was cut in two
            content = [{"type": "text", "text": "a\ud800b \\ud800"}]
        case "refuses":
            content = [{"type": "text", "text": f"no, {os.environ.get('TOKEN', '')}"}]
            send({"id": request["id"], "result": {"content": content, "isError": True}})
            return
    send({"id": request["id"], "result": {"content": content}})


def main() -> None:
    """Answer until the input ends."""
    if HOW == "never-starts":
        with (FOLDER / "starts").open("a") as starts:
            starts.write("started\n")
        sys.exit(f"no licence for {os.environ.get('TOKEN', 'nobody')}")
    if HOW == "garbage":
        sys.stdout.write("Welcome to my server!\n\x00\xff{]\n" + "z" * 20_000_000 + "\n")
    if HOW == "family":
        child = subprocess.Popen(["sleep", "600"])
        (FOLDER / "child").write_text(str(child.pid))
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("method"):
            case "initialize":
                version = request["params"]["protocolVersion"]
                capabilities = {"tools": {"listChanged": True}}
                info = {"name": "scoundrel", "version": "1"}
                result = {"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}
                send({"id": request["id"], "result": result})
            case "tools/list":
                with (FOLDER / "listings").open("a") as listings:
                    listings.write("listed\n")
                cursor = (request.get("params") or {}).get("cursor") or ""
                send({"id": request["id"], "result": tools(cursor)})
            case "tools/call":
                act(request)
            case "ping":
                send({"id": request["id"], "result": {}})


main()
