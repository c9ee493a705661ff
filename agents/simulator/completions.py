"""OpenAI's Chat Completions on the wire."""

import json
from collections.abc import Iterator
from typing import Any

from agents.providers.tokens import estimate_tokens
from agents.simulator.conversation import BadRequest, Conversation, Turn, digest_of, require, text_of
from agents.simulator.pieces import pieces
from agents.simulator.playing import Reply
from agents.simulator.strictness import ALTERNATIVES, check_id, check_tool

FINISH_REASONS = {"stop": "stop", "tool_calls": "tool_calls", "length": "length", "refusal": "stop"}
DESCRIPTION_MAX = 1024
CREATED = 1_767_225_600  # fixed, so that an answer follows from its request alone


def read(body: dict[str, Any], *, run: str) -> Conversation:
    """The conversation of a request. Raises BadRequest where the real API would."""
    messages = require(body, "messages", list)
    tools = body.get("tools") or []
    wanted = body.get("response_format") or {}
    for number, tool in enumerate(tools):
        _check(tool["function"], place=f"tools[{number}].function")
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or 4096
    system = [text_of(message.get("content")) for message in messages if _is_system(message)]
    return Conversation(
        model=require(body, "model", str),
        system="\n".join(system),
        turns=tuple(_turns([message for message in messages if not _is_system(message)])),
        tools=tuple(tool["function"]["name"] for tool in tools),
        tools_text=json.dumps(tools) if tools else "",
        schema=wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None,
        max_tokens=limit,
        stream=body.get("stream") is True,
        caching=True,
        digest=digest_of(body, run),
    )


def _check(function: dict[str, Any], *, place: str) -> None:
    check_tool(
        function["name"],
        function.get("parameters"),
        place=place,
        name_max=64,
        refused=(*ALTERNATIVES, "enum", "not"),
    )
    if "properties" not in function["parameters"]:
        raise BadRequest(f"Invalid schema for {place}: object schema missing properties.")
    if len(function.get("description", "")) > DESCRIPTION_MAX:
        raise BadRequest(f"{place}.description: string too long, maximum length {DESCRIPTION_MAX}")


def whole(conversation: Conversation, reply: Reply) -> dict[str, Any]:
    """The plain answer."""
    message: dict[str, Any] = {"role": "assistant", "content": _content(reply), "refusal": _refusal(reply)}
    if calls := _calls(conversation, reply):
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[reply.finish]}
    return {
        **_head(conversation, "chat.completion"),
        "choices": [choice],
        "usage": _usage(conversation, reply),
    }


def events(conversation: Conversation, reply: Reply) -> tuple[list[str], list[str]]:
    """The streamed answer: its chunks, and those that end it."""
    head = _head(conversation, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        return _event(
            head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}
        )

    said = [chunk({"role": "assistant", "content": ""})]
    said += [chunk({"content": piece}) for piece in pieces(_content(reply) or "")]
    said += [chunk({"refusal": piece}) for piece in pieces(_refusal(reply) or "")]
    for index, call in enumerate(_calls(conversation, reply)):
        written = call["function"]["arguments"]
        opening = call | {"index": index, "function": call["function"] | {"arguments": ""}}
        said.append(chunk({"tool_calls": [opening]}))
        said += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in pieces(written)
        ]
    usage = _event(head | {"choices": [], "usage": _usage(conversation, reply)})
    return said, [chunk({}, FINISH_REASONS[reply.finish]), usage, "data: [DONE]\n\n"]


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
    return {
        "error": {"message": message, "type": kinds.get(status, "server_error"), "param": None, "code": None}
    }


def error_event(message: str) -> str:
    """An error in the middle of a stream."""
    return _event(error(500, message))


def _is_system(message: dict[str, Any]) -> bool:
    return message.get("role") in ("system", "developer")


def _turns(messages: list[Any]) -> Iterator[Turn]:
    if not messages:
        raise BadRequest("[] is too short - 'messages'")
    waiting: set[str] = set()
    for number, message in enumerate(messages):
        role = message.get("role")
        if role not in ("user", "assistant", "tool"):
            raise BadRequest(f"Invalid value: {role!r}. messages[{number}].role")
        if role == "tool":
            if message.get("tool_call_id") not in waiting:
                raise BadRequest(
                    f"messages[{number}]: messages with role 'tool' must be a response to a preceding message "
                    "with 'tool_calls'."
                )
            waiting.discard(message["tool_call_id"])
        elif waiting:
            raise BadRequest(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. These did not have response messages: {', '.join(sorted(waiting))}"
            )
        if role == "assistant":
            waiting = {call["id"] for call in message.get("tool_calls") or []}
            for call_id in waiting:
                check_id(call_id, place=f"messages[{number}].tool_calls.id", id_max=40)
        yield Turn(role, text_of(message.get("content")))
    if waiting:
        raise BadRequest(f"These tool_call_ids did not have response messages: {', '.join(sorted(waiting))}")


def _head(conversation: Conversation, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-sim-{conversation.digest[:24]}",
        "object": kind,
        "created": CREATED,
        "model": conversation.model,
    }


def _content(reply: Reply) -> str | None:
    if reply.finish == "refusal":
        return None
    if reply.answer is not None:
        return reply.answer if isinstance(reply.answer, str) else json.dumps(reply.answer)
    return reply.text or None


def _refusal(reply: Reply) -> str | None:
    return reply.text if reply.finish == "refusal" else None


def _calls(conversation: Conversation, reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_sim_{conversation.digest[:20]}{number:02}",
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": call.arguments
                if isinstance(call.arguments, str)
                else json.dumps(call.arguments),
            },
        }
        for number, call in enumerate(reply.calls)
    ]


def _usage(conversation: Conversation, reply: Reply) -> dict[str, Any]:
    prompt = conversation.turn_tokens + conversation.prefix_tokens
    cached = conversation.prefix_tokens if conversation.assistant_turns else 0
    output = estimate_tokens((_content(reply) or reply.text) + json.dumps(_calls(conversation, reply)))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"
