"""Errors as RFC 9457 problem documents. What an exception of the floors below means in HTTP is said here, once."""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import ConfigDict, Field

from agents.exceptions import AgentError, RateLimited, UnknownAgent
from approvals.exceptions import AlreadyResolved, DeniedBefore, GateError, Invalid, Stale

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
PREFIX = "/api/"
MAX_BODY = "2 MB"

# The code of an exception, as its HTTP status and title. A code that is missing here is a mistake of ours: 500.
CODES: dict[str, tuple[int, str]] = {
    "not_allowed": (403, "You may not do this"),
    "not_found": (404, "There is no such thing, or not for you"),
    "step_up_needed": (403, "This takes a second factor"),
    "unknown_agent": (422, "There is no such agent"),
    "already_resolved": (409, "This was settled before"),
    "denied_before": (409, "A person denied this"),
    "stale_digest": (409, "This changed since you were shown it"),
    "wrong_state": (409, "Not possible in this state"),
    "halted": (409, "An emergency stop stands"),
    "invalid": (422, "What was sent can't be used"),
    "bad_input": (422, "What was sent can't be used"),
    "other_subject": (409, "This belongs to somebody else"),
    "conversation_full": (409, "No more fits in"),
    "rate_limited": (429, "Too many at once"),
    "flooded": (429, "Too many questions"),
    "bad_config": (422, "The configuration can't be used"),
    "missing_scope": (403, "This token may not do this"),
}


class Problem(Exception):
    """An answer other than success. `extra`: members beside the standard ones."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[dict[str, Any]] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.title = CODES[code][1] if code in CODES else HTTPStatus(status).phrase
        self.errors = errors or []
        self.extra = extra


class FieldError(Schema):
    """One thing that is wrong, and where."""

    path: list[str | int] = Field(description="The way to the value: names and places.")
    message: str


class ProblemOut(Schema):
    """RFC 9457. `type` tells kinds of problems apart for programs, `detail` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:gatehouse:problem:stale_digest"])
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(default=None, description="Each place that is wrong.")
    retry_after: int | None = Field(
        default=None, description="With rate_limited: seconds, as in Retry-After."
    )
    scope: str | None = Field(default=None, description="With missing_scope: the one that is needed.")
    approval: str | None = Field(default=None, description="With denied_before: the denied one.")
    digest: str | None = Field(
        default=None, description="With stale_digest: the digest of what stands there now."
    )


def answer(problem: Problem) -> HttpResponse:
    """The document."""
    content: dict[str, Any] = {
        "type": f"urn:gatehouse:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    if problem.errors:
        content["errors"] = problem.errors
    response = HttpResponse(json.dumps(content), status=problem.status, content_type=MEDIA_TYPE)
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="Gatehouse"'
    if "retry_after" in problem.extra:
        response["Retry-After"] = str(problem.extra["retry_after"])
    return response


def problem_of(error: Exception) -> Problem:
    """What an exception is to whoever called; one that nobody foresaw is a 500, and is logged."""
    match error:
        case Problem():
            return error
        case GateError() | AgentError() if error.code in CODES:
            status, _ = CODES[error.code]
            extra: dict[str, Any] = {}
            if isinstance(error, Stale):
                extra["digest"] = error.digest
            if isinstance(error, AlreadyResolved):
                extra["resolved"] = error.status
            if isinstance(error, DeniedBefore):
                extra["approval"] = error.approval
            if isinstance(error, RateLimited):
                extra["retry_after"] = error.retry_after
            errors = error.errors if isinstance(error, Invalid | AgentError) else []
            if isinstance(error, UnknownAgent):
                errors = [{"path": ["agent"], "message": str(error)}]
            return Problem(status, error.code, str(error), errors=errors, **extra)
        case ValidationError():
            errors = [_field_error(item) for item in error.errors]
            named = "; ".join(f"{'.'.join(map(str, item['path']))}: {item['message']}" for item in errors)
            return Problem(422, "invalid", f"What was sent can't be used: {named}", errors=errors)
        case AuthenticationError():
            return Problem(
                401,
                "unauthenticated",
                "Send a token that is known, and neither revoked nor expired: Authorization: Bearer gth_…",
            )
        case HttpError(__cause__=Problem() as cause):  # django-ninja wraps what its body parser raises
            return cause
        case HttpError():
            return Problem(error.status_code, "http_error", str(error))
        case RequestDataTooBig():
            return Problem(413, "too_large", f"The body is larger than {MAX_BODY}.")
        case MultiPartParserError() | SuspiciousOperation():
            return Problem(400, "unreadable", f"The form can't be read: {error}")
        case UnreadablePostError():
            return Problem(400, "unreadable", "The body ended before it was complete.")
        case Http404():
            return Problem(
                404, "not_found", "There is nothing at this address; /api/v1/docs says what there is."
            )
        case OperationalError() | InterfaceError():
            log.error("api.database_away", error=str(error))
            return Problem(503, "unavailable", "The database does not answer; try again in a few seconds.")
    log.error("api.failed", exc_info=error)
    return Problem(500, "internal", "Something went wrong on our side; it is in the log.")


def install(api: NinjaAPI) -> None:
    """Answer every error that a view of `api` raises with a problem document."""
    for kind in (Exception, Http404, HttpError, ValidationError):
        api.add_exception_handler(kind, lambda request, error: answer(problem_of(cast(Exception, error))))


class ProblemMiddleware:
    """Turns what Django itself answers below /api/ (no such address, wrong method, too large) into problems."""

    sync_capable = async_capable = True

    def __init__(
        self,
        get_response: Callable[[HttpRequest], HttpResponseBase]
        | Callable[[HttpRequest], Awaitable[HttpResponseBase]],
    ) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._later(request)
        return _as_problem(request, cast(HttpResponseBase, self.get_response(request)))

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        return _as_problem(request, await cast(Awaitable[HttpResponseBase], self.get_response(request)))


def _as_problem(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    status = response.status_code
    if status < 400 or not request.path.startswith(PREFIX) or response.get("Content-Type") == MEDIA_TYPE:
        return response
    details = {
        404: ("not_found", "There is nothing at this address; /api/v1/docs says what there is."),
        405: (
            "method_not_allowed",
            f"Not with {request.method}; allowed here: {response.get('Allow', 'nothing')}.",
        ),
        413: ("too_large", f"The body is larger than {MAX_BODY}."),
        500: ("internal", "Something went wrong on our side; it is in the log."),
    }
    code, detail = details.get(status, ("http_error", HTTPStatus(status).phrase))
    problem = answer(Problem(status, code, detail))
    if "Allow" in response:
        problem["Allow"] = response["Allow"]
    return problem


def _field_error(item: dict[str, Any]) -> dict[str, Any]:
    # ("body", name of the parameter, ...) and ("query", ...): callers know neither of the two first.
    source, *path = item["loc"]
    if source == "body":
        path = path[1:]
    return {"path": list(path), "message": item["msg"].removeprefix("Value error, ")}
