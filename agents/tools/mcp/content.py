"""What a tool of an MCP server returned: words for the agent, and files kept for people."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from mcp.types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from agents.models import Attachment, ToolCall

TEXT_MAX = 5_000_000  # characters
FILE_MAX = 5_000_000  # bytes
FILES_MAX = 20
PARTS_MAX = 200


@dataclass(frozen=True, slots=True)
class File:
    """Bytes in a result."""

    media_type: str
    content: bytes


Part = tuple[dict[str, Any], File | None]  # its description, and what it is


def words_of(result: CallToolResult) -> str:
    """Its text, all parts of it, each on its own lines."""
    return "\n".join(text for block in result.content[:PARTS_MAX] if (text := _text(block)))[:TEXT_MAX]


def data_of(result: CallToolResult, *, call_id: str) -> Any:
    """What the agent is told: the structured content, the text where it says more, and each other part described.

    Files are stored with the call, where it is one of a run, for people to see.
    """
    text, structured = words_of(result), result.structured_content
    if structured is not None and len(json.dumps(structured)) > TEXT_MAX:
        structured, text = None, text or json.dumps(result.structured_content)[:TEXT_MAX]
    parts = [part for block in result.content[:PARTS_MAX] if (part := _described(block)) is not None]
    _keep(parts, call_id)
    if structured is None and not parts:
        return text
    told: dict[str, Any] = {}
    if text and not _says(text, structured):
        told["text"] = text
    if structured is not None:
        if not told and not parts:
            return structured
        told["structured"] = structured
    if parts:
        told["parts"] = [description for description, _ in parts]
    return told


def _says(text: str, structured: Any) -> bool:
    """Whether the text is only the structured content once more."""
    if structured is None:
        return False
    alone = structured.get("result", structured)  # SDKs wrap what is no object
    if text == alone:
        return True
    try:
        return bool(json.loads(text) in (structured, alone))
    except ValueError:
        return False


def _text(block: ContentBlock) -> str:
    if isinstance(block, TextContent):
        return block.text
    if isinstance(block, EmbeddedResource) and isinstance(block.resource, TextResourceContents):
        return f"[{block.resource.uri}]\n{block.resource.text}"
    return ""


def _described(block: ContentBlock) -> Part | None:
    match block:
        case ImageContent() | AudioContent():
            return _file({"type": block.type}, block.mime_type, block.data)
        case EmbeddedResource(resource=BlobResourceContents() as resource):
            description = {"type": "resource", "uri": str(resource.uri)[:2000]}
            return _file(description, resource.mime_type or "application/octet-stream", resource.blob)
        case ResourceLink():
            told = {
                "type": "resource_link",
                "uri": str(block.uri)[:2000],
                "name": block.name[:200],
                "description": (block.description or "")[:2000],
                "mime_type": (block.mime_type or "")[:100],
            }
            return {name: value for name, value in told.items() if value}, None
    return None


def _file(description: dict[str, Any], media_type: str, data: str) -> Part:
    told = description | {"mime_type": media_type[:100]}
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return told | {"note": "not readable"}, None
    told["size"] = len(content)
    if len(content) > FILE_MAX:
        return told | {"note": "too large to keep"}, None
    return told, File(media_type[:100], content)


def _keep(parts: list[Part], call_id: str) -> None:
    """Store the files of a call, and name each in its description."""
    kept = [part for part in parts if part[1]][:FILES_MAX]
    if not kept or not ToolCall.objects.filter(pk=call_id).exists():
        return
    now = timezone.now()
    rows = [
        Attachment(
            call_id=call_id,
            media_type=file.media_type,
            content=file.content,
            created_at=now + timedelta(microseconds=place),  # which keeps their order
        )
        for place, (_, file) in enumerate(kept)
        if file
    ]
    Attachment.objects.bulk_create(rows)
    for (told, _), row in zip(kept, rows, strict=True):
        told["attachment"] = str(row.pk)
