"""The HTTP side of the simulator: two wire formats, embeddings, and the door for faults."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agents.simulator import completions, embeddings, messages
from agents.simulator.conversation import BadRequest, Conversation
from agents.simulator.faults import STATUSES, Fault, FaultKind, FaultOrder, FaultQueue
from agents.simulator.playing import Reply, distort, play, within_limit
from agents.simulator.scripts import Script

MODELS = ("claude-sonnet-4-5", "claude-haiku-4-5", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
FAULT_HEADER = "x-simulator-fault"  # a Fault as JSON, or the name of its kind
BROKEN_PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How one API reads and writes."""

    read: Callable[..., Conversation]
    whole: Callable[[Conversation, Reply], dict[str, Any]]
    events: Callable[[Conversation, Reply], tuple[list[str], list[str]]]
    error: Callable[[int, str], dict[str, Any]]
    error_event: Callable[[str], str]


ANTHROPIC = WireFormat(messages.read, messages.whole, messages.events, messages.error, messages.error_event)
OPENAI = WireFormat(
    completions.read, completions.whole, completions.events, completions.error, completions.error_event
)


class BrokenResponse(Response):
    """Sends the half of its body and then hangs up, as a crashing server does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self.body)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


def make_app(scripts: Sequence[Script], faults: FaultQueue) -> Starlette:
    """The application, which answers by `scripts` and misbehaves by `faults`."""

    def endpoint(wire: WireFormat) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await _answer(request, wire, scripts, faults)

        return answer

    async def embed(request: Request) -> Response:
        try:
            return JSONResponse(embeddings.embed(await _body(request)))
        except BadRequest as error:
            return JSONResponse(OPENAI.error(400, str(error)), status_code=400)

    async def order_faults(request: Request) -> Response:
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            try:
                order = FaultOrder.model_validate_json(await request.body())
            except ValidationError as error:
                return JSONResponse(
                    {"error": error.errors(include_url=False, include_context=False)}, status_code=422
                )
            faults.order(Fault(**order.model_dump(exclude={"count"})), order.count)
        return JSONResponse([{**fault.model_dump(), "count": left} for fault, left in faults.pending()])

    async def list_models(request: Request) -> Response:
        listed = [{"id": name, "object": "model", "type": "model", "display_name": name} for name in MODELS]
        return JSONResponse({"object": "list", "data": listed, "has_more": False})

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok", "scripts": len(scripts)})

    return Starlette(
        routes=[
            Route("/v1/messages", endpoint(ANTHROPIC), methods=["POST"]),
            Route("/v1/chat/completions", endpoint(OPENAI), methods=["POST"]),
            Route("/v1/embeddings", embed, methods=["POST"]),
            Route("/v1/models", list_models),
            Route("/healthz", healthz),
            Route("/_faults", order_faults, methods=["GET", "POST", "DELETE"]),
        ]
    )


async def _answer(
    request: Request, wire: WireFormat, scripts: Sequence[Script], faults: FaultQueue
) -> Response:
    try:
        conversation = wire.read(await _body(request), run=request.headers.get("x-gatehouse-run", ""))
        reply = play(conversation, scripts)
        fault = _fault_of(request, faults, reply)
    except BadRequest as error:
        return JSONResponse(wire.error(400, str(error)), status_code=400)
    except (KeyError, TypeError, AttributeError) as error:
        return JSONResponse(
            wire.error(400, f"a part of the request has the wrong shape: {error}"), status_code=400
        )
    if fault is None:
        return _sent(wire, conversation, within_limit(reply, conversation.max_tokens))
    if seconds := fault.wait(conversation.digest):
        await _silence(request, seconds)
    if fault.kind in STATUSES:
        return _refused(request, wire, fault)
    if fault.kind in (FaultKind.HTML, FaultKind.HTML_OK):
        return HTMLResponse(BROKEN_PAGE, status_code=502 if fault.kind is FaultKind.HTML else 200)
    reply = within_limit(distort(reply, fault, conversation), conversation.max_tokens)
    return _broken(wire, conversation, reply, fault)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def _fault_of(request: Request, faults: FaultQueue, reply: Reply) -> Fault | None:
    """What goes wrong with this request: as its header says, as was ordered, or as its script says."""
    if written := request.headers.get(FAULT_HEADER):
        try:
            return Fault.model_validate_json(
                written if written.startswith("{") else json.dumps({"kind": written})
            )
        except ValidationError as error:
            raise BadRequest(f"{FAULT_HEADER}: {error.errors(include_url=False)[0]['msg']}") from None
    if ordered := faults.take():
        return ordered
    written = request.headers.get("x-gatehouse-attempt", "1")
    attempt = int(written) if written.isdecimal() else 1
    return reply.fault if reply.fault and reply.fault.applies(attempt=attempt) else None


def _sent(wire: WireFormat, conversation: Conversation, reply: Reply) -> Response:
    if not conversation.stream:
        return JSONResponse(wire.whole(conversation, reply))
    said, end = wire.events(conversation, reply)
    return _streamed([*said, *end])


def _broken(wire: WireFormat, conversation: Conversation, reply: Reply, fault: Fault) -> Response:
    kind = fault.kind
    if not conversation.stream:
        body = json.dumps(wire.whole(conversation, reply))
        if kind is FaultKind.STALL:
            cut = len(body) // 2
            return _streamed([body[:cut], body[cut:]], pauses={1: fault.seconds}, kind="application/json")
        if kind is FaultKind.RESET:
            return BrokenResponse(body, media_type="application/json")
        if kind in (FaultKind.MALFORMED_JSON, FaultKind.TRUNCATED_STREAM):
            return Response(body[: len(body) // 2], media_type="application/json")
        if kind is FaultKind.STREAM_ERROR:
            return JSONResponse(wire.error(529, "Overloaded"), status_code=529)
        return _sent(wire, conversation, reply)
    said, end = wire.events(conversation, reply)
    half = said[: max(1, len(said) // 2)]
    match kind:
        case FaultKind.RESET:
            return BrokenResponse("".join([*said, *end]), media_type="text/event-stream")
        case FaultKind.STALL:
            return _streamed([*said, *end], pauses={len(half): fault.seconds})
        case FaultKind.SLOW:
            return _streamed([*said, *end], pauses=dict.fromkeys(range(1, len(said)), fault.seconds))
        case FaultKind.TRUNCATED_STREAM:
            return _streamed(said)
        case FaultKind.STREAM_ERROR:
            return _streamed([*half, wire.error_event("Overloaded")])
        case FaultKind.MALFORMED_JSON:
            return _streamed([*half, said[0].replace("}\n\n", "\n\n"), *end])
    return _streamed([*said, *end])


def _streamed(
    parts: list[str], *, pauses: Mapping[int, float] = MappingProxyType({}), kind: str = "text/event-stream"
) -> Response:
    """`parts` one by one; `pauses` says how long it is silent (s) before which of them."""

    async def send() -> AsyncIterator[str]:
        for place, part in enumerate(parts):
            if seconds := pauses.get(place):
                await asyncio.sleep(seconds)
            yield part

    return StreamingResponse(send(), media_type=kind)


def _refused(request: Request, wire: WireFormat, fault: Fault) -> Response:
    status = STATUSES[fault.kind]
    message = f"Simulated fault: {fault.kind}."
    if fault.kind is FaultKind.UNAUTHORIZED:
        message = (
            f"Incorrect API key provided: {request.headers.get('authorization', '').removeprefix('Bearer ')}."
        )
    headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
    return JSONResponse(wire.error(status, message), status_code=status, headers=headers)


async def _silence(request: Request, seconds: float) -> None:
    """Wait, but no longer than the caller does."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), timeout=seconds)
    except TimeoutError:
        return
