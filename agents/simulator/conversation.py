"""What a request says, in no wire format: all that an answer may depend on."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from agents.providers.tokens import estimate_tokens

ROLE = re.compile(r"# Role:[ \t]*(\w+)")


class BadRequest(ValueError):
    """The request is one that the real API would refuse too; the message says why."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: `role` is user, assistant or tool."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request to a model, as the scripts see it."""

    model: str
    system: str
    turns: tuple[Turn, ...]
    tools: tuple[str, ...]  # names
    tools_text: str
    schema: dict[str, Any] | None  # of the answer, where a structured one is asked
    max_tokens: int
    stream: bool
    caching: bool  # the request marks, or the API finds, a prefix to cache
    digest: str  # of the whole request: source of ids

    @property
    def role(self) -> str:
        """From the first line of the system prompt; "executor" where it names none."""
        found = ROLE.match(self.system)
        return found[1] if found else "executor"

    @property
    def first_user(self) -> str:
        return next((turn.text for turn in self.turns if turn.role == "user"), "")

    @property
    def assistant_turns(self) -> int:
        return sum(turn.role == "assistant" for turn in self.turns)

    @property
    def latest(self) -> str:
        """What came since the model last spoke: results of tools, and the user's words."""
        last = max((place for place, turn in enumerate(self.turns) if turn.role == "assistant"), default=-1)
        return "\n".join(turn.text for turn in self.turns[last + 1 :])

    @property
    def text(self) -> str:
        return "\n".join(turn.text for turn in self.turns)

    @property
    def prefix_tokens(self) -> int:
        return estimate_tokens(self.tools_text + self.system)

    @property
    def turn_tokens(self) -> int:
        return sum(estimate_tokens(turn.text) + 4 for turn in self.turns)


def digest_of(body: dict[str, Any], run: str) -> str:
    """Hex digest that ids are made from: the same request of the same run gets the same answer, ids included."""
    return hashlib.sha256((run + json.dumps(body, sort_keys=True)).encode()).hexdigest()


def require(body: dict[str, Any], name: str, kind: type) -> Any:
    """A field that must be there. Raises BadRequest."""
    value = body.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadRequest(
            f"{name}: Field required" if value is None else f"{name}: Input should be a {kind.__name__}"
        )
    return value


def text_of(content: Any) -> str:
    """The text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
    )
