"""Anthropic's Messages API on the wire."""

import json
from collections.abc import Iterator
from typing import Any

from agents.providers.tokens import estimate_tokens
from agents.simulator.conversation import BadRequest, Conversation, Turn, digest_of, require, text_of
from agents.simulator.pieces import pieces
from agents.simulator.playing import Reply
from agents.simulator.strictness import ALTERNATIVES, check_id, check_tool

STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "refusal": "refusal"}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def read(body: dict[str, Any], *, run: str) -> Conversation:
    """The conversation of a request. Raises BadRequest where the real API would."""
    messages = require(body, "messages", list)
    tools = body.get("tools") or []
    choice = body.get("tool_choice") or {}
    for number, tool in enumerate(tools):
        check_tool(
            tool["name"], tool["input_schema"], place=f"tools.{number}", name_max=128, refused=ALTERNATIVES
        )
    schema = None
    if choice.get("type") == "tool":
        schema = next((tool["input_schema"] for tool in tools if tool["name"] == choice["name"]), None)
        if schema is None:
            raise BadRequest(f"tool_choice.name: no tool is called {choice['name']!r}")
    return Conversation(
        model=require(body, "model", str),
        system=text_of(body.get("system")),
        turns=tuple(_turns(messages)),
        tools=tuple(tool["name"] for tool in tools),
        tools_text=json.dumps(tools) if tools else "",
        schema=schema,
        max_tokens=require(body, "max_tokens", int),
        stream=body.get("stream") is True,
        caching="cache_control" in json.dumps([body.get("system"), tools]),
        digest=digest_of(body, run),
    )


def whole(conversation: Conversation, reply: Reply) -> dict[str, Any]:
    """The plain answer."""
    return {
        **_head(conversation),
        "content": _blocks(conversation, reply),
        "stop_reason": _stop_reason(reply),
        "usage": _usage(conversation, reply),
    }


def events(conversation: Conversation, reply: Reply) -> tuple[list[str], list[str]]:
    """The streamed answer: its events, and those that end it."""
    usage = _usage(conversation, reply)
    head = _head(conversation) | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    said = [_event("message_start", message=head), _event("ping")]
    for index, block in enumerate(_blocks(conversation, reply)):
        empty: dict[str, Any] = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
        said.append(_event("content_block_start", index=index, content_block=empty))
        said += [_event("content_block_delta", index=index, delta=delta) for delta in _deltas(block)]
        said.append(_event("content_block_stop", index=index))
    delta = {"stop_reason": _stop_reason(reply), "stop_sequence": None}
    end = _event("message_delta", delta=delta, usage={"output_tokens": usage["output_tokens"]})
    return said, [end, _event("message_stop")]


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    return {"type": "error", "error": {"type": ERROR_TYPES.get(status, "api_error"), "message": message}}


def error_event(message: str) -> str:
    """An error in the middle of a stream."""
    return _event("error", error={"type": "overloaded_error", "message": message})


def _turns(messages: list[Any]) -> Iterator[Turn]:
    if not messages:
        raise BadRequest("messages: at least one message is required")
    waiting: set[str] = set()  # calls of the last assistant turn that have no result yet
    for number, message in enumerate(messages):
        role = message.get("role")
        if role not in ("user", "assistant"):
            raise BadRequest(f"messages.{number}.role: Input should be 'user' or 'assistant'")
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not blocks:
            raise BadRequest(f"messages.{number}: all messages must have non-empty content")
        if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            raise BadRequest(f"messages.{number}: text content blocks must contain non-whitespace text")
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if results != waiting:
            raise BadRequest(
                f"messages.{number}: each `tool_use` block must have a corresponding `tool_result` block in the "
                f"next message, and no other: expected {sorted(waiting)}, found {sorted(results)}"
            )
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        for call_id in waiting:
            check_id(call_id, place=f"messages.{number}.content.tool_use.id", id_max=256)
        for block in blocks:
            if block["type"] == "tool_result":
                yield Turn("tool", text_of(block.get("content")))
        if role == "assistant" or any(block["type"] == "text" for block in blocks):
            yield Turn(role, text_of(blocks))
    if waiting:
        raise BadRequest(f"messages: `tool_use` ids without `tool_result`: {sorted(waiting)}")


def _head(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": f"msg_sim_{conversation.digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": conversation.model,
        "stop_sequence": None,
    }


def _blocks(conversation: Conversation, reply: Reply) -> list[dict[str, Any]]:
    calls = [(call.name, call.arguments) for call in reply.calls]
    if reply.answer is not None:
        calls.append(("respond", reply.answer))
    blocks: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    for number, (name, arguments) in enumerate(calls):
        call_id = f"toolu_sim_{conversation.digest[:20]}{number:02}"
        blocks.append({"type": "tool_use", "id": call_id, "name": name, "input": arguments})
    return blocks


def _deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    if block["type"] == "text":
        return [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
    written = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
    return [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces(written))]


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.finish == "stop" and reply.answer is not None else STOP_REASONS[reply.finish]


def _usage(conversation: Conversation, reply: Reply) -> dict[str, int]:
    # The prefix was sent before if the model has spoken before: so it is read from the cache, else written to it.
    prefix = conversation.prefix_tokens if conversation.caching else 0
    warm = conversation.assistant_turns > 0
    return {
        "input_tokens": conversation.turn_tokens + conversation.prefix_tokens - prefix,
        "cache_creation_input_tokens": 0 if warm else prefix,
        "cache_read_input_tokens": prefix if warm else 0,
        "output_tokens": estimate_tokens(json.dumps(_blocks(conversation, reply))),
    }


def _event(name: str, **data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"
