"""Results that are too large for a prompt: kept apart, shown by their beginning, and read by reference."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models.functions import Substr
from pydantic import Field

from agents.models import StoredResult, ToolCall
from agents.runtime.estimates import BEYOND, estimate
from agents.tools.python import tool
from agents.tools.results import NotFound
from agents.tools.spec import BUILT_IN, Tool, ToolContext

PREVIEW_CHARS = 1000
PAGE_CHARS = 4000
MAX_HITS = 5
HIT_CHARS = 600  # around each


def set_apart(
    call: ToolCall, result: dict[str, Any], *, limit: tuple[int, int], now: datetime
) -> tuple[dict[str, Any], StoredResult | None]:
    """`result` as the agent is told it, and the row to store with it where it is too large.

    `limit` is in characters and in estimated tokens. What is told then holds the beginning as `data` (or `message`),
    with `size` in characters and the `reference`.
    """
    key = "data" if "data" in result else "message"
    value = result.get(key)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    chars, tokens = limit
    if len(text) <= chars and (len(text) * BEYOND < tokens or estimate(text) <= tokens):
        return result, None
    row = StoredResult(call=call, text=text, size=len(text), created_at=now)
    told = {
        key: text[: min(PREVIEW_CHARS, chars, tokens)],
        "size": len(text),
        "reference": str(row.pk),
        "note": f"This is the beginning of {len(text):,} characters. Read on, or search, with {RECALL_RESULT.name}.",
    }
    return result | told, row


def granted(tools: Mapping[str, Tool], calls: Iterable[ToolCall]) -> dict[str, Tool]:
    """The tool that reads stored results, where a run has any.

    What it returns is as trusted as the tools whose results are stored.
    """
    stored = [call for call in calls if isinstance(call.result, dict) and call.result.get("reference")]
    if not stored:
        return {}
    untrusted = any(call.tool not in tools or tools[call.tool].untrusted for call in stored)
    return {RECALL_RESULT.name: replace(RECALL_RESULT, untrusted=untrusted)}


@tool(category="lookup", effect="read", title="Read the stored result {reference}")
def recall_result(
    context: ToolContext,
    reference: Annotated[str, Field(description="As the shortened result names it.")],
    offset: Annotated[int, Field(ge=0, description="The first character to read.")] = 0,
    query: Annotated[str, Field(max_length=200, description="Words to find, instead of reading on.")] = "",
) -> dict[str, Any]:
    """Read a result that was too large to be shown whole: a page of it from `offset`, or where `query` occurs in it."""
    stored = StoredResult.objects.filter(call__run_id=context.run_id)
    try:
        row = stored.filter(pk=UUID(reference)).values("size").first()
    except ValueError:
        row = None
    if row is None:
        known = ", ".join(str(pk) for pk in stored.order_by("-created_at").values_list("pk", flat=True)[:10])
        raise NotFound(
            f"there is no stored result {reference!r}; stored results of this run: {known or 'none'}"
        )
    mine = stored.filter(pk=UUID(reference))
    if query.strip():
        return {"size": row["size"]} | _found(
            mine.values_list("text", flat=True).get(), query.strip(), offset
        )
    page = mine.values_list(Substr("text", offset + 1, PAGE_CHARS), flat=True).get()
    end = offset + len(page)
    return {
        "text": page,
        "offset": offset,
        "next_offset": end if end < row["size"] else None,
        "size": row["size"],
    }


def _found(text: str, query: str, offset: int) -> dict[str, Any]:
    """Where the query stands in the text from `offset` on."""
    hits: list[dict[str, Any]] = []
    end = offset
    for match in re.compile(re.escape(query), re.IGNORECASE).finditer(text, offset):
        if hits and match.start() < end:
            continue  # shown with the hit before it
        if len(hits) == MAX_HITS:
            return {"hits": hits, "next_offset": match.start()}
        start = max(match.start() - HIT_CHARS // 2, 0)
        end = match.end() + HIT_CHARS // 2
        hits.append({"offset": start, "text": text[start:end]})
    return {"hits": hits, "next_offset": None}


RECALL_RESULT = replace(recall_result, source=f"{BUILT_IN}:recall_result")
