"""Calling a tool of an MCP server, with an honest word for what came of it."""

import json
import time
from concurrent.futures import CancelledError
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp.types import CONNECTION_CLOSED, PARSE_ERROR, REQUEST_TIMEOUT, CallToolResult
from pydantic import ValidationError

from agents import credentials
from agents.models import PinnedTool
from agents.tools import pins
from agents.tools.mcp import content
from agents.tools.mcp.connection import Connection, Reply
from agents.tools.mcp.granting import Target
from agents.tools.mcp.progress import passed_on
from agents.tools.mcp.reach import Unreachable
from agents.tools.mcp.sessions import Session, session_of
from agents.tools.mcp.wire import GONE, LOST, NOT_SENT, TOO_LARGE
from agents.tools.results import ToolFailure, UnknownOutcome
from agents.tools.spec import Effect, ToolContext

ERROR_MAX = 20_000  # characters
KEY = "gatehouse/idempotencyKey"


def call(target: Target, context: ToolContext, arguments: dict[str, Any]) -> Any:
    """What the tool returned, as the agent is told it. Raises ToolFailure, UnknownOutcome."""
    # Sooner than the engine stops waiting, so that the server is told to stop.
    deadline = time.monotonic() + max(target.timeout - 0.5, target.timeout * 0.8)
    reply, secrets = _reply(target, context, arguments, deadline)
    if not isinstance(reply, CallToolResult):
        raise ToolFailure(f"{target.name} asks back before it does anything, which is not supported.")
    if reply.is_error:
        words = content.words_of(reply)[:ERROR_MAX] or json.dumps(reply.structured_content)[:ERROR_MAX]
        raise ToolFailure(str(credentials.mask(words, secrets)))
    return credentials.mask(content.data_of(reply, call_id=context.call_id), secrets)


def _reply(
    target: Target, context: ToolContext, arguments: dict[str, Any], deadline: float
) -> tuple[Reply, tuple[credentials.Secret, ...]]:
    """What the server replied. A session that it has forgotten is begun anew, once: it did nothing."""
    session, progress = session_of(target.spec), passed_on()
    for last in (False, True):
        try:
            connection = session.ready(deadline)
        except Unreachable as error:
            pins.note_failure(session.key, str(error))
            raise ToolFailure(str(error), retryable=True) from error
        _require_as_pinned(target, session.key)
        try:
            reply = session.call(
                connection,
                target.name,
                arguments,
                meta={KEY: context.idempotency_key},
                deadline=deadline,
                progress=progress,
                stop_with=context.run_id if target.effect is Effect.READ else "",
            )
        except MCPError as error:
            if error.code == GONE and not last:
                session.give_up(connection)
                continue
            raise _outcome(target, session, connection, error) from error
        except CancelledError as error:
            raise ToolFailure(f"{target.name} was told to stop, since its run is cancelled.") from error
        except TimeoutError as error:
            session.look_at(connection)
            raise UnknownOutcome(f"{target.name} did not answer within {target.timeout:g} s.") from error
        except ValidationError as error:
            raise UnknownOutcome(f"{target.name} answered with what is no result of a tool.") from error
        return reply, connection.given.secrets
    raise AssertionError


def _require_as_pinned(target: Target, key: str) -> None:
    """Raise ToolFailure unless the tool is as it was looked at when this agent was given it."""
    if (target.name, PinnedTool.State.PINNED, target.digest) in pins.standing(key):
        return
    row = PinnedTool.objects.select_related("source").filter(source__key=key, name=target.name).first()
    if row is None:
        raise ToolFailure(f"{target.name} is no longer known: publish the agent again.")
    if why := pins.suspended(row):
        raise ToolFailure(why)
    if row.digest != target.digest:
        raise ToolFailure(
            f"{target.name} was changed and looked at since this call was made; look at it again, and call it anew."
        )


def _outcome(
    target: Target, session: Session, connection: Connection, error: MCPError
) -> ToolFailure | UnknownOutcome:
    """What an error in place of a result means."""
    words = connection.given.mask(error.message)[:ERROR_MAX]
    if error.code == NOT_SENT:
        session.give_up(connection)
        return ToolFailure(f"{target.name} was not called: {words}.", retryable=True)
    if error.code == GONE:
        return ToolFailure(f"{target.name} was not called: {words}.", retryable=True)
    if error.code == REQUEST_TIMEOUT:
        session.look_at(connection)
        words = f"{target.name} did not answer within {target.timeout:g} s, and was told to stop"
        return UnknownOutcome(f"{words}.")
    if error.code == TOO_LARGE:
        if target.effect is Effect.READ:
            return ToolFailure(f"{target.name} failed: {words}.")
        return UnknownOutcome(f"{target.name} may have done it: {words}.")
    if error.code == LOST or _is_lost(connection, error):
        said = connection.said()
        words += f". It last said: {said}" if said else "."
        return UnknownOutcome(f"The call of {target.name} was sent, and its reply was lost: {words}")
    return ToolFailure(f"{target.name} failed: {words} (code {error.code}).")


def _is_lost(connection: Connection, error: MCPError) -> bool:
    """Whether the SDK says that no reply can come; servers use the same codes for errors of their own."""
    if error.code == CONNECTION_CLOSED:
        return connection.over.is_set() or error.message.startswith(("Connection closed", "SSE stream"))
    return error.code == PARSE_ERROR and error.message.startswith("Failed to parse")
