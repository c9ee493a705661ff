"""The tools that an agent is granted: Python functions, HTTP endpoints, operations of an API, tools of an MCP server."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from agents.config.strict import Seconds, Strict
from agents.config.wording import plain_number
from agents.tools.spec import Category

EffectName = Literal["read", "reversible", "irreversible"]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
JSON_TYPES = ("string", "integer", "number", "boolean", "object", "array")

_TOOL_NAME = re.compile(r"\A[A-Za-z][A-Za-z0-9_-]{0,63}\Z")  # what all providers of models take


def _tool_name(value: str) -> str:
    if not _TOOL_NAME.match(value):
        raise ValueError(f"{value!r} is no name of a tool: use letters, digits, _ and -, at most 64.")
    return value


ToolName = Annotated[str, AfterValidator(_tool_name)]


class CredentialRef(Strict):
    """A stored credential in place of a value, which is put in only when the tool is called."""

    credential: str = Field(min_length=1)


def _text_or_reference(value: Any) -> Any:
    """One mistake for one value, not one for each form that it could have."""
    if isinstance(value, dict):
        return CredentialRef.model_validate(value)
    if not isinstance(value, str | CredentialRef):
        raise ValueError(f"write a text in quotes, or {{credential: NAME}}; {value!r} is neither.")
    return value


def _simple(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise ValueError("write a text, a number, true or false.")
    return value


Value = Annotated[str | CredentialRef, BeforeValidator(_text_or_reference)]
Simple = Annotated[str | int | float | bool, BeforeValidator(_simple)]


class Exists(Strict):
    """The argument names something that a lookup finds."""

    tool: ToolName
    argument: str = ""  # of the lookup; empty: the one of the same name


class Check(Strict):
    """What an argument must be beyond its type."""

    exists: Exists | None = None
    minimum: float | None = None
    maximum: float | None = None
    one_of: tuple[Simple, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("exists"), str):
            return value | {"exists": {"tool": value["exists"]}}
        return value

    @model_validator(mode="after")
    def _says_something(self) -> "Check":
        if not self.model_fields_set:
            raise ValueError("a check needs one of exists, minimum, maximum and one_of.")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(
                f"minimum {plain_number(self.minimum)} is above maximum {plain_number(self.maximum)}."
            )
        return self


class Undo(Strict):
    """The tool that takes a call back, and what it is called with."""

    tool: ToolName
    # Its arguments: "arguments.NAME" and "result.NAME" stand for those of the call, anything else for itself.
    arguments: dict[str, Any] = {}


class ToolOptions(Strict):
    """How a tool is treated, wherever it comes from."""

    category: Category | None = None  # none: lookup for reads, mutation else
    timeout: float = Field(30.0, gt=0, le=600)  # s
    permission: str = ""
    idempotent: bool = False  # the same key twice has one effect
    untrusted: bool = True
    rate_limit: int = Field(0, ge=0, le=1_000_000)  # calls a minute
    retries: int | None = Field(None, ge=0, le=10)
    fallback: str = ""
    cache: Seconds | None = None
    fresh: Seconds | None = None
    polling: bool = False
    returns: dict[str, Any] = {}  # JSON Schema of what a call that succeeded returns
    title: str = ""  # "Refund {amount} EUR for {order_id}"
    when_to_use: str = ""
    when_not_to_use: str = ""
    checks: dict[str, Check] = {}  # by argument
    check: str = ""  # dotted path of a function of context and arguments
    dry_run: str = ""  # the tool that tells, without an effect, what the call would do
    fingerprint: str = ""  # the tool that tells what the call rests on
    lookup: str = ""  # the read that tells whether a call happened, by its arguments and `idempotency_key`
    undo: Undo | None = None


class HttpTool(ToolOptions):
    """One HTTP request. Placeholders of the address are arguments; the others go into the query or a JSON body."""

    name: ToolName
    description: str = Field(min_length=1)
    method: Method = "GET"
    url: str = Field(min_length=1)
    arguments: dict[str, Any] = {}  # JSON Schema of each, or its type alone
    required: tuple[str, ...] | None = None  # none: all
    effect: EffectName = "irreversible"
    egress: bool = True
    headers: dict[str, Value] = {}
    credential: str = ""

    @field_validator("arguments")
    @classmethod
    def _schemas(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, schema in value.items():
            if isinstance(schema, str) and schema not in JSON_TYPES:
                raise ValueError(f"{name}: there is no type {schema!r}; choose {', '.join(JSON_TYPES)}.")
            if not isinstance(schema, (str, dict)):
                raise ValueError(f"{name}: write a JSON Schema, or a type: {', '.join(JSON_TYPES)}.")
        return value

    @model_validator(mode="after")
    def _known_names(self) -> "HttpTool":
        placeholders = re.findall(r"\{([^{}]*)\}", self.url)
        for name in placeholders:
            if name not in self.arguments:
                raise ValueError(f"the address names {{{name}}}, which is no argument.")
        for name in self.required or ():
            if name not in self.arguments:
                raise ValueError(f"required names {name!r}, which is no argument.")
        return self


class OpenApi(Strict):
    """Operations of an API that an OpenAPI document describes."""

    url: str = Field(min_length=1)  # of the document
    server: str = ""  # the address of the API; empty: the document's first
    include: tuple[str, ...] = Field(min_length=1)  # operation ids
    effects: dict[str, EffectName] = {}  # by operation id; one that isn't stated is irreversible
    headers: dict[str, Value] = {}
    credential: str = ""
    egress: bool = True
    options: dict[str, ToolOptions] = {}  # by operation id


class McpServer(Strict):
    """Tools of an MCP server, started as a program or reached by HTTP."""

    name: ToolName
    command: tuple[str, ...] = ()
    env: dict[str, Value] = {}
    url: str = ""
    headers: dict[str, Value] = {}
    credential: str = ""  # with url
    include: tuple[str, ...] = ("*",)  # names of tools, with * for any letters
    exclude: tuple[str, ...] = ()
    effects: dict[str, EffectName] = {}
    default_effect: EffectName = "irreversible"
    egress: tuple[str, ...] = ()  # tools by which data leaves the house
    prefix: str = ""  # before each name, where two servers have tools of one name
    start_timeout: float = Field(30.0, gt=0, le=300)  # s
    options: dict[str, ToolOptions] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "McpServer":
        if bool(self.command) == bool(self.url):
            raise ValueError("an MCP server needs either command or url.")
        if self.command and (self.headers or self.credential):
            raise ValueError("headers and credential are for a server with url; a command takes env.")
        if self.url and self.env:
            raise ValueError("env is for a server with command; one with url takes headers.")
        return self


class ToolRef(Strict):
    """A tool that the agent is granted, or several from one place."""

    python: str = ""  # dotted path of a function with @tool
    http: HttpTool | None = None
    openapi: OpenApi | None = None
    mcp: McpServer | None = None
    checks: dict[str, Check] = {}  # with python
    undo: Undo | None = None  # with python

    @model_validator(mode="after")
    def _one_kind(self) -> "ToolRef":
        named = [kind for kind in KINDS if getattr(self, kind)]
        if len(named) != 1:
            raise ValueError(
                f"a tool has one of the keys {', '.join(KINDS)}; here are {' and '.join(named) or 'none'}."
            )
        if not self.python and (self.checks or self.undo):
            raise ValueError(f"write checks and undo inside {named[0]}.")
        return self

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind))


KINDS = ("python", "http", "openapi", "mcp")
