"""Two versions side by side."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from agents.files import as_yaml
from agents.models import AgentVersion


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the comparison; None where a side has no such line."""

    left: str | None
    right: str | None

    @property
    def differs(self) -> bool:
        """Whether the two sides say different things here."""
        return self.left != self.right


def compare(left: AgentVersion, right: AgentVersion) -> list[Line]:
    """Both configurations as files, line by line, what belongs together beside each other."""
    before, after = (as_yaml(version.agent.name, version.config).splitlines() for version in (left, right))
    return side_by_side(before, after)


def side_by_side(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    """Two texts, line by line, what belongs together beside each other."""
    lines: list[Line] = []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for _, start, end, other_start, other_end in matcher.get_opcodes():
        lines.extend(
            Line(
                left=before[start + place] if start + place < end else None,
                right=after[other_start + place] if other_start + place < other_end else None,
            )
            for place in range(max(end - start, other_end - other_start))
        )
    return lines
