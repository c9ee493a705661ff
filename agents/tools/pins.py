"""Tools of servers and documents, pinned: called as somebody looked at them, or not at all.

A source that tells another description or schema than before suspends that tool, and one that tells a new tool adds
none, until an admin has looked: what a model is shown, and what a person approves, never changes behind their back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from agents.exceptions import BadConfig
from agents.models import PinnedTool, ToolSource
from approvals.digest import digest_of
from traces.recorder import record
from traces.statement import ask
from traces.storable import storable

State = PinnedTool.State

Standing = tuple[str, str, str]  # name, state and digest of a tool: what it may be called as, and whether
STANDING = """
SELECT tool.name, tool.state, tool.digest FROM agents_pinnedtool AS tool
JOIN agents_toolsource AS source ON source.id = tool.source_id WHERE source.key = $1 ORDER BY tool.name
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a source tells of one tool."""

    name: str
    description: str
    parameters: dict[str, Any]  # JSON Schema of the arguments
    hints: dict[str, Any] = field(default_factory=dict)  # annotations, or how the operation is reached

    def stored(self) -> dict[str, Any]:
        """As it is pinned."""
        return dict(
            storable(
                {
                    "name": self.name,
                    "description": self.description,
                    "parameters": self.parameters,
                    "hints": self.hints,
                }
            )
        )


def pinned(key: str) -> list[PinnedTool]:
    """All tools of the source of this key, in order of name; none where it was never listed."""
    return list(PinnedTool.objects.filter(source__key=key).select_related("source").order_by("name"))


def standing(key: str) -> tuple[Standing, ...]:
    """How all tools of the source of this key stand now: asked at every call, so it reads no definition."""
    return tuple((name, state, digest) for name, state, digest in ask(STANDING, key))


def standing_of(rows: Iterable[PinnedTool]) -> tuple[Standing, ...]:
    """How these stood when they were read."""
    return tuple((row.name, row.state, row.digest) for row in rows)


@transaction.atomic
def note_listing(
    *, kind: str, key: str, name: str, place: str, definitions: Iterable[Definition], now: datetime
) -> ToolSource:
    """Keep what a source tells. The first listing pins all of it; a later one suspends what differs."""
    source, is_new = ToolSource.objects.get_or_create(
        key=key,
        defaults={"kind": kind, "name": name, "place": place, "first_seen_at": now, "listed_at": now},
    )
    source = ToolSource.objects.select_for_update().get(pk=source.pk)
    ToolSource.objects.filter(pk=source.pk).update(listed_at=now, error="")
    known = {row.name: row for row in source.tools.all()}
    told = {definition.name: definition.stored() for definition in definitions}
    for tool_name, definition in told.items():
        if tool_name not in known:
            state = State.PINNED if is_new else State.NEW
            row = PinnedTool.objects.create(
                source=source,
                name=tool_name,
                state=state,
                definition=definition,
                digest=digest_of(definition),
                pinned_at=now,
                changed_at=None if is_new else now,
            )
            if not is_new:
                _record("tool.appeared", row)
        else:
            _compare(known[tool_name], definition, now)
    for tool_name, row in known.items():
        if tool_name not in told and row.state not in (State.GONE, State.REFUSED):
            _move(row, State.GONE, seen=None, now=now, event="tool.disappeared")
    if is_new:
        record(
            "tool_source.pinned",
            actor="system",
            object_id=source.pk,
            data={"name": name, "place": place, "tools": len(told)},
        )
    return source


def note_failure(key: str, error: str) -> None:
    """Keep why a source that is known could not be asked."""
    ToolSource.objects.filter(key=key).update(error=str(storable(error))[:2000])


@transaction.atomic
def accept(tool: PinnedTool, *, actor: User, now: datetime) -> None:
    """Pin the tool as its source tells it now: somebody has looked."""
    row = PinnedTool.objects.select_for_update(of=("self",)).select_related("source").get(pk=tool.pk)
    definition = row.seen or row.definition
    PinnedTool.objects.filter(pk=row.pk).update(
        state=State.PINNED,
        definition=definition,
        digest=digest_of(definition),
        seen=None,
        changed_at=None,
        pinned_at=now,
        pinned_by=actor,
    )
    _record("tool.accepted", row, actor=f"user:{actor.get_username()}")


@transaction.atomic
def refuse(tool: PinnedTool, *, actor: User, now: datetime) -> None:
    """Don't have the tool, whatever its source tells."""
    row = PinnedTool.objects.select_for_update(of=("self",)).select_related("source").get(pk=tool.pk)
    PinnedTool.objects.filter(pk=row.pk).update(
        state=State.REFUSED, pinned_at=now, pinned_by=actor, changed_at=None
    )
    _record("tool.refused", row, actor=f"user:{actor.get_username()}")


def suspended(row: PinnedTool) -> str:
    """Why the tool may not be called, in words for agent and admin; empty: it may."""
    match row.state:
        case State.CHANGED:
            return f"{row.name} is suspended: {row.source} changed it, and no admin has looked at the change yet."
        case State.NEW:
            return f"{row.name} is suspended: {row.source} has it only since a short while, and no admin has looked yet."
        case State.GONE:
            return f"{row.source} no longer has the tool {row.name}."
        case State.REFUSED:
            return f"{row.name} of {row.source} was refused by an admin."
    return ""


def require_listed(key: str, *, what: str) -> list[PinnedTool]:
    """The tools of a source. Raises BadConfig where it was never listed."""
    rows = pinned(key)
    if not rows and not ToolSource.objects.filter(key=key).exists():
        raise BadConfig(
            f"{what} was never reached, so its tools are not known: publish the agent while it answers."
        )
    return rows


def _compare(row: PinnedTool, definition: dict[str, Any], now: datetime) -> None:
    if digest_of(definition) == row.digest:
        if row.state in (State.CHANGED, State.GONE):
            _move(row, State.PINNED, seen=None, now=None, event="tool.changed_back")
    elif row.state == State.NEW:
        PinnedTool.objects.filter(pk=row.pk).update(definition=definition, digest=digest_of(definition))
    elif row.state == State.REFUSED or row.seen == definition:
        return
    else:
        _move(row, State.CHANGED, seen=definition, now=now, event="tool.changed")


def _move(
    row: PinnedTool, state: str, *, seen: dict[str, Any] | None, now: datetime | None, event: str
) -> None:
    PinnedTool.objects.filter(pk=row.pk).update(state=state, seen=seen, changed_at=now)
    row.state, row.seen, row.changed_at = state, seen, now
    _record(event, row)


def _record(event: str, row: PinnedTool, *, actor: str = "system") -> None:
    record(event, actor=actor, object_id=row.pk, data={"tool": row.name, "source": row.source.name})
