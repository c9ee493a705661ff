"""OpenAI's Chat Completions, and every endpoint compatible with it, through OpenAI's own SDK."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import openai
from openai.types.chat import ChatCompletion

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
from agents.providers.tokens import estimate_tokens
from agents.providers.wire import (
    count,
    json_object,
    malformed,
    proposed_call,
    sendable_id,
    sendable_name,
    sendable_schema,
    storable,
)

DEFAULT_URL = "https://api.openai.com/v1"
DESCRIPTION_MAX = 1024  # characters of a tool's description that the API takes
FINISHES = {
    "stop": Finish.STOP,
    "tool_calls": Finish.TOOL_CALLS,
    "length": Finish.LENGTH,
    "content_filter": Finish.REFUSED,
}


class OpenAIProvider:
    """Models behind `base_url` [OpenAI's own], reached with `api_key`; shared by any number of threads.

    `timeout` of a request bounds the call as a whole, `stall` each wait for a piece of a stream. With
    `output_schema` the answer's text is its JSON, and nothing is handed to `on_text`. Where an endpoint counts no
    tokens, they are estimated, so that limits hold.
    """

    def __init__(
        self, *, api_key: str, base_url: str = "", simulated: bool = False, name: str = "openai"
    ) -> None:
        self.name = name
        self.simulated = simulated
        self._key = api_key
        self._url = base_url or DEFAULT_URL
        self._client = openai.OpenAI(
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
            typed_failures(openai, provider=self.name, endpoint=self._url, key=self._key, patience=patience),
        ):
            if on_text is None:
                completion = self._client.chat.completions.create(**arguments)
                if not isinstance(completion, ChatCompletion):
                    malformed(self.name, "the body is not a completion")
                return self._read(completion.to_dict(warnings=False), request)
            return self._read(self._streamed(arguments, request, on_text, patience), request)

    def embed(self, texts: Sequence[str], *, model: str, seconds: float) -> tuple[list[list[float]], Usage]:
        """A vector for each of `texts`, in their order, and what that used, within `seconds`. Raises ModelFailure."""
        with (
            patient(timeout=seconds) as patience,
            typed_failures(openai, provider=self.name, endpoint=self._url, key=self._key, patience=patience),
        ):
            try:
                answer = self._client.embeddings.create(
                    model=model, input=list(texts), encoding_format="float", timeout=timeout(seconds)
                )
                entries = sorted(answer.data, key=lambda entry: entry.index)
                vectors = [[float(value) for value in entry.embedding] for entry in entries]
                used = count(answer.usage.prompt_tokens) if answer.usage else 0
            except (
                AttributeError,
                TypeError,
                ValueError,
            ):  # the SDK takes any shape for the one that is promised
                malformed(self.name, "the body holds no embeddings")
        if len(vectors) != len(texts):
            malformed(self.name, f"there are {len(vectors)} embeddings for {len(texts)} texts")
        return vectors, Usage(input=used or sum(estimate_tokens(text) for text in texts))

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
        with self._client.chat.completions.create(
            **arguments, stream=True, stream_options={"include_usage": True}
        ) as stream:
            for chunk in stream:
                patience.hear()
                try:
                    piece = assembly.add(chunk.to_dict(warnings=False))
                except (AttributeError, KeyError, TypeError):
                    malformed(self.name, "a chunk of the stream has the wrong shape")
                if piece and request.output_schema is None:
                    on_text(storable(piece))
        if not assembly.ended:
            malformed(self.name, "the stream ended without a finish reason")
        return assembly.completion()

    def _read(self, body: Mapping[str, Any], request: ModelRequest) -> ModelResponse:
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            malformed(self.name, "there is no choice with a message")
        reason = choice.get("finish_reason")
        finish = FINISHES.get(reason) if isinstance(reason, str) else None
        written = message.get("tool_calls") or []
        if finish is None or not isinstance(written, list):
            malformed(self.name, f"the finish reason ({reason!r}) or the tool calls are missing or unknown")
        calls = tuple(self._call(entry, request) for entry in written)
        if finish is Finish.TOOL_CALLS and not calls:
            malformed(self.name, "it stopped for tool calls but names none")
        if calls and finish is Finish.STOP:  # so some compatible endpoints say it
            finish = Finish.TOOL_CALLS
        refusal, text = storable(message.get("refusal")), storable(message.get("content"))
        if refusal:
            finish, text = Finish.REFUSED, refusal
        usage = body.get("usage")
        return ModelResponse(
            text=text,
            finish=finish,
            usage=_usage(usage) if isinstance(usage, dict) else _estimated(request, message),
            model=storable(body.get("model")) or request.model,
            tool_calls=calls,
            parsed=json_object(text) if request.output_schema is not None and not refusal else None,
            response_id=storable(body.get("id")),
        )

    def _call(self, entry: Any, request: ModelRequest) -> ProposedCall:
        function = entry.get("function") if isinstance(entry, dict) else None
        if not isinstance(function, dict):
            malformed(self.name, "a tool call has no function")
        return proposed_call(
            entry.get("id"), function.get("name"), function.get("arguments") or "{}", tools=request.tools
        )


class _Assembly:
    """A streamed completion, put together into what the plain call would have returned."""

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._parts: dict[str, list[str]] = {"content": [], "refusal": []}
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    @property
    def ended(self) -> bool:
        return self._finish is not None

    def add(self, chunk: dict[str, Any]) -> str:
        """Take one chunk; return the text that it adds."""
        for name in ("id", "model", "usage"):
            if chunk.get(name):
                self._head[name] = chunk[name]
        if not chunk["choices"]:
            return ""
        choice = chunk["choices"][0]
        self._finish = choice.get("finish_reason") or self._finish
        delta = choice.get("delta") or {}
        for name, parts in self._parts.items():
            if delta.get(name):
                parts.append(delta[name])
        for position, entry in enumerate(delta.get("tool_calls") or []):
            self._extend(entry.get("index", position), entry)
        return str(delta.get("content") or "")

    def completion(self) -> dict[str, Any]:
        message: dict[str, Any] = {name: "".join(parts) for name, parts in self._parts.items()}
        message["tool_calls"] = [self._calls[index] for index in sorted(self._calls)]
        return self._head | {"choices": [{"message": message, "finish_reason": self._finish}]}

    def _extend(self, index: int, entry: dict[str, Any]) -> None:
        call = self._calls.setdefault(index, {"id": "", "function": {"name": "", "arguments": ""}})
        call["id"] = entry.get("id") or call["id"]
        function = entry.get("function") or {}
        call["function"]["name"] = function.get("name") or call["function"]["name"]
        call["function"]["arguments"] += function.get("arguments") or ""


def request_arguments(request: ModelRequest) -> dict[str, Any]:
    """What the SDK is called with; OpenAI caches a stable prefix by itself, so the system prompt comes first."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    arguments: dict[str, Any] = {
        "model": request.model,
        "max_completion_tokens": request.max_tokens,
        "messages": [*system, *(_turn(message) for message in request.messages)],
    }
    if request.tools:
        arguments["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": sendable_name(tool.name),
                    "description": _described(tool.description),
                    "parameters": sendable_schema(tool.parameters),
                },
            }
            for tool in request.tools
        ]
    if request.output_schema is not None:
        # Not strict: that takes a part of JSON Schema only, and the caller checks the answer anyway.
        arguments["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "respond", "schema": request.output_schema, "strict": False},
        }
    return arguments


def _described(description: str) -> str:
    return description if len(description) <= DESCRIPTION_MAX else f"{description[: DESCRIPTION_MAX - 1]}…"


def _turn(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": sendable_id(message.tool_call_id), "content": message.text}
    turn: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": sendable_id(call.id),
                "type": "function",
                "function": {
                    "name": sendable_name(call.name),
                    "arguments": call.raw if call.arguments is None else json.dumps(call.arguments),
                },
            }
            for call in message.tool_calls
        ]
    return turn


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    read, write = count(details.get("cached_tokens")), count(details.get("cache_write_tokens"))
    prompt = count(usage.get("prompt_tokens"))  # the cached ones too
    return Usage(
        input=max(prompt - read - write, 0),
        cache_read=read,
        cache_write=write,
        output=count(usage.get("completion_tokens")),
    )


def _estimated(request: ModelRequest, message: Mapping[str, Any]) -> Usage:
    return Usage(
        input=estimate_tokens(json.dumps(request_arguments(request))),
        output=estimate_tokens(json.dumps(message, default=str)),
    )
