"""The pieces of code on the Connect page: files that run as they are, once address and token are filled in."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "snippets"
ADDRESS, TOKEN = "http://127.0.0.1:8000", "gth_..."


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to connect a program."""

    slug: str
    title: str
    words: str  # what it does, and what it needs
    files: tuple[str, ...]

    def filled(self, *, base_url: str, token: str = "") -> list[tuple[str, str]]:
        """The files as (name, text), for the installation at `base_url`; a place is held for a missing token."""
        return [(name, fill(name, base_url=base_url, token=token)) for name in self.files]


def fill(name: str, *, base_url: str, token: str = "") -> str:
    """The text of one file, with this address and this token."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return text.replace(ADDRESS, base_url.rstrip("/")).replace(TOKEN, token or TOKEN)


RECIPES = (
    Recipe(
        "curl",
        "curl",
        "Your program keeps its own tools and asks here before it uses one. It waits by long poll: each request is "
        "answered when a person has decided, at the latest after a minute.",
        ("ask.sh",),
    ),
    Recipe(
        "python",
        "Python",
        "The same from Python. Wrap each action that needs a person in approved(…).",
        ("ask.py",),
    ),
    Recipe(
        "typescript",
        "TypeScript",
        "The same from TypeScript, with fetch.",
        ("ask.ts",),
    ),
    Recipe(
        "langgraph",
        "LangGraph",
        "A decorator for the tools of a graph. The model reads with which arguments the tool really ran, or why it did "
        "not.",
        ("langgraph_agent.py",),
    ),
    Recipe(
        "openai-agents",
        "OpenAI Agents SDK",
        "The tools of the gateway, as an MCP server of the agent. The agent waits up to ten minutes for a person, and "
        "reads a note where one changed its call.",
        ("openai_agent.py",),
    ),
    Recipe(
        "mcp",
        "Claude Code and other MCP clients",
        "For .mcp.json of a project, or the MCP settings of an editor; or one line for Claude Code. A call that a person "
        "must decide is answered as pending after 50 seconds, and get_approval tells the rest.",
        ("mcp.json", "claude.sh"),
    ),
)
