"""Anthropic's Messages API through its own SDK."""

from collections.abc import Callable, Mapping
from typing import Any

import anthropic
from anthropic.types import Message as AnthropicMessage

from agents.providers.base import (
    Finish,
    Message,
    ModelRequest,
    ModelResponse,
    ProposedCall,
    Usage,
)
from agents.providers.connections import http_client, metadata_headers, timeout
from agents.providers.failures import typed_failures
from agents.providers.patience import Patience, patient
from agents.providers.wire import (
    count,
    malformed,
    proposed_call,
    sendable_id,
    sendable_name,
    sendable_schema,
    storable,
)

DEFAULT_URL = "https://api.anthropic.com"
RESPOND = "respond"  # the tool that the model must call where the answer has a schema
FINISHES = {
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "tool_use": Finish.TOOL_CALLS,
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.LENGTH,
    "refusal": Finish.REFUSED,
}
CACHED = {"type": "ephemeral"}


class AnthropicProvider:
    """Models behind `base_url` [Anthropic's own], reached with `api_key`; shared by any number of threads.

    `timeout` of a request bounds the call as a whole, `stall` each wait for a piece of a stream. With
    `output_schema` the answer's text is its JSON, and nothing is handed to `on_text`.
    """

    def __init__(
        self, *, api_key: str, base_url: str = "", simulated: bool = False, name: str = "anthropic"
    ) -> None:
        self.name = name
        self.simulated = simulated
        self._key = api_key
        self._url = base_url or DEFAULT_URL
        self._client = anthropic.Anthropic(
            api_key=api_key, base_url=self._url, max_retries=0, http_client=http_client(self._url)
        )

    def complete(
        self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None
    ) -> ModelResponse:
        """Answer `request`, as Provider promises."""
        arguments = request_arguments(request) | {"timeout": timeout(request.timeout)}
        if self.simulated:
            arguments["extra_headers"] = metadata_headers(request)
        with (
            patient(timeout=request.timeout, stall=request.stall if on_text else None) as patience,
            typed_failures(
                anthropic, provider=self.name, endpoint=self._url, key=self._key, patience=patience
            ),
        ):
            if on_text is None:
                message = self._client.messages.create(**arguments)
                if not isinstance(message, AnthropicMessage):
                    malformed(self.name, "the body is not a message")
                return self._read(message.to_dict(warnings=False), request)
            return self._read(self._streamed(arguments, request, on_text, patience), request)

    def close(self) -> None:
        """Close the connections; the provider can't be used after this."""
        self._client.close()

    def _streamed(
        self,
        arguments: dict[str, Any],
        request: ModelRequest,
        on_text: Callable[[str], None],
        patience: Patience,
    ) -> dict[str, Any]:
        assembly = _Assembly()
        with self._client.messages.create(**arguments, stream=True) as stream:
            for event in stream:
                patience.hear()
                try:
                    piece = assembly.add(event.to_dict(warnings=False))
                except (AttributeError, KeyError, TypeError):
                    malformed(self.name, "an event of the stream has the wrong shape")
                if piece and request.output_schema is None:
                    on_text(storable(piece))
        if not assembly.ended:
            malformed(self.name, "the stream lacks its start or its end event")
        return assembly.message()

    def _read(self, body: Mapping[str, Any], request: ModelRequest) -> ModelResponse:
        content, usage, reason = body.get("content"), body.get("usage"), body.get("stop_reason")
        finish = FINISHES.get(reason) if isinstance(reason, str) else None
        if not isinstance(content, list) or not isinstance(usage, dict) or finish is None:
            malformed(self.name, f"content, usage or stop reason ({reason!r}) is missing or unknown")
        texts: list[str] = []
        calls: list[ProposedCall] = []
        for block in content:
            if not isinstance(block, dict):
                malformed(self.name, "a content block is not an object")
            if block.get("type") == "text":
                texts.append(storable(block.get("text")))
            elif block.get("type") == "tool_use":
                calls.append(
                    proposed_call(block.get("id"), block.get("name"), block.get("input"), tools=request.tools)
                )
        text, parsed = "".join(texts), None
        if request.output_schema is not None:
            answers = [call for call in calls if call.name == RESPOND]
            calls = [call for call in calls if call.name != RESPOND]
            if answers:
                text, parsed = answers[0].raw, answers[0].arguments
                finish = Finish.STOP if finish is Finish.TOOL_CALLS and not calls else finish
        if finish is Finish.TOOL_CALLS and not calls:
            malformed(self.name, "it stopped for tool calls but names none")
        return ModelResponse(
            text=text,
            finish=Finish.TOOL_CALLS if calls and finish is Finish.STOP else finish,
            usage=Usage(
                input=count(usage.get("input_tokens")),
                cache_read=count(usage.get("cache_read_input_tokens")),
                cache_write=count(usage.get("cache_creation_input_tokens")),
                output=count(usage.get("output_tokens")),
            ),
            model=storable(body.get("model")) or request.model,
            tool_calls=tuple(calls),
            parsed=parsed,
            response_id=storable(body.get("id")),
        )


class _Assembly:
    """A streamed message, put together into what the plain call would have returned."""

    def __init__(self) -> None:
        self.ended = False
        self._started = False
        self._head: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._written: dict[int, list[str]] = {}  # JSON pieces of tool arguments, by block

    def add(self, event: dict[str, Any]) -> str:
        """Take one event; return the text that it adds."""
        match event.get("type"):
            case "message_start":
                self._started, self._head = True, {**event["message"]}
            case "content_block_start":
                self._blocks[event["index"]] = {**event["content_block"]}
                return str(event["content_block"].get("text") or "")
            case "content_block_delta":
                return self._extend(event["index"], event["delta"])
            case "message_delta":
                self._head["stop_reason"] = event["delta"].get("stop_reason")
                given = {name: value for name, value in event["usage"].items() if value is not None}
                self._head["usage"] = {**self._head.get("usage", {}), **given}
            case "message_stop":
                self.ended = self._started
        return ""

    def message(self) -> dict[str, Any]:
        for index, pieces in self._written.items():
            self._blocks[index]["input"] = "".join(pieces)
        return self._head | {"content": [self._blocks[index] for index in sorted(self._blocks)]}

    def _extend(self, index: int, delta: dict[str, Any]) -> str:
        block = self._blocks[index]
        if delta["type"] == "text_delta":
            block["text"] = str(block.get("text") or "") + delta["text"]
            return str(delta["text"])
        # An empty piece opens the arguments of a tool without any, whose start says `{}`.
        if delta["type"] == "input_json_delta" and delta["partial_json"]:
            self._written.setdefault(index, []).append(delta["partial_json"])
        return ""


def request_arguments(request: ModelRequest) -> dict[str, Any]:
    """What the SDK is called with: tools first, then system prompt, then what was said, from stable to new.

    The ends of tools and system prompt are marked for the cache, and from the second turn on that of the conversation.
    """
    arguments: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": _turns(request.messages),
    }
    tools: list[dict[str, Any]] = [
        {
            "name": sendable_name(tool.name),
            "description": tool.description,
            "input_schema": sendable_schema(tool.parameters),
        }
        for tool in request.tools
    ]
    if request.output_schema is not None:
        tools.append(
            {
                "name": RESPOND,
                "description": "Give your answer by calling this tool.",
                "input_schema": request.output_schema,
            }
        )
        arguments["tool_choice"] = {"type": "tool", "name": RESPOND, "disable_parallel_tool_use": True}
    if tools:
        tools[-1] = {**tools[-1], "cache_control": CACHED}
        arguments["tools"] = tools
    if request.system:
        arguments["system"] = [{"type": "text", "text": request.system, "cache_control": CACHED}]
    return arguments


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Messages in Anthropic's alternation, where tool results are part of the user's turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"].extend(_blocks(message))
    for turn in turns:
        # The API wants results before text, and no turn without content, as a model that says nothing leaves.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
        turn["content"] = turn["content"] or [{"type": "text", "text": "(empty)"}]
    if any(turn["role"] == "assistant" for turn in turns):
        # A conversation that goes on: what was sent so far is read from the cache at the next turn.
        turns[-1]["content"][-1]["cache_control"] = CACHED
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            {
                "type": "tool_result",
                "tool_use_id": sendable_id(message.tool_call_id),
                "content": message.text,
                "is_error": message.is_error,
            }
        ]
    blocks: list[dict[str, Any]] = []
    if message.text.strip():
        blocks.append({"type": "text", "text": message.text})
    for call in message.tool_calls:
        written = {"unreadable": call.raw} if call.arguments is None else call.arguments
        blocks.append(
            {
                "type": "tool_use",
                "id": sendable_id(call.id),
                "name": sendable_name(call.name),
                "input": written,
            }
        )
    return blocks
