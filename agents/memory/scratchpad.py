"""Notes of a run: rows that survive any restart, written and read by tools that pass the gate like any other."""

from dataclasses import replace
from typing import Annotated, Any

from django.utils import timezone
from pydantic import Field

from agents.models import Note
from agents.tools.python import tool
from agents.tools.results import ToolFailure
from agents.tools.spec import BUILT_IN, ToolContext
from traces.storable import storable

MAX_NOTES = 50
MAX_CHARS = 4000  # of one note
SHOWN_CHARS = 12_000  # of all that are read at once


# Nobody but the run itself ever sees a note, so writing one has no effect on the world: it is judged as a read, and
# people are not asked. What a note may repeat of outsiders' words has tainted the run when it was first read.
@tool(category="lookup", effect="read", idempotent=True, untrusted=False, title="Note {name!r}")
def write_note(
    context: ToolContext,
    name: Annotated[str, Field(min_length=1, max_length=100)],
    text: Annotated[str, Field(min_length=1, max_length=MAX_CHARS)],
) -> dict[str, Any]:
    """Keep a note for the rest of this task. Another note of the same name takes its place."""
    notes = Note.objects.filter(run_id=context.run_id)
    others = notes.exclude(name=storable(name)).count()
    if others >= MAX_NOTES:
        raise ToolFailure(f"there are {others} notes, and {MAX_NOTES} at most: replace one by its name")
    Note.objects.update_or_create(
        run_id=context.run_id,
        name=storable(name),
        defaults={"text": storable(text), "written_at": timezone.now()},
    )
    return {"noted": name, "notes": others + 1}


@tool(category="lookup", effect="read", untrusted=False, title="Read its notes")
def read_notes(
    context: ToolContext,
    name: Annotated[str, Field(description="Of one note; empty for all.")] = "",
) -> dict[str, Any]:
    """Read the notes of this task: one by its name, or all, the latest first."""
    notes = Note.objects.filter(run_id=context.run_id).order_by("-written_at", "name")
    if name:
        notes = notes.filter(name=name)
    shown, room = [], SHOWN_CHARS
    for note in notes:
        if len(note.text) <= room:
            shown.append({"name": note.name, "text": note.text})
            room -= len(note.text)
        else:
            shown.append({"name": note.name, "text": f"({len(note.text):,} characters: read it by its name)"})
    return {"notes": shown}


WRITE_NOTE = write_note.name
SCRATCHPAD = tuple(replace(made, source=f"{BUILT_IN}:{made.name}") for made in (write_note, read_notes))
