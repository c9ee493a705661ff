"""HTTP endpoints as tools."""

import re
from typing import Any

from agents.config.tools import HttpTool
from agents.exceptions import BadConfig
from agents.tools import egress
from agents.tools.exchange import Access, Outgoing, as_json, as_query, exchange, in_words, segment
from agents.tools.options import with_options
from agents.tools.soundness import require_sound
from agents.tools.spec import Effect, Tool, ToolContext
from approvals.digest import digest_of

IN_QUERY = frozenset({"GET", "HEAD", "DELETE"})  # the other methods have a body

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check(spec: HttpTool) -> None:
    """Raise BadConfig for what would fail whenever the tool is called."""
    _require_template(spec)
    require_sound(_parameters(spec), what=spec.name)
    try:
        egress.require(_PLACEHOLDER.sub("x", spec.url))
    except egress.EgressRefused as refused:
        raise BadConfig(f"{spec.name}: {refused}") from refused
    _access(spec).require()


def build(spec: HttpTool) -> Tool:
    """The tool that makes this request. Raises BadConfig for an address that arguments could lead elsewhere."""
    _require_template(spec)
    effect, access = Effect(spec.effect), _access(spec)

    def run(context: ToolContext, arguments: dict[str, Any]) -> Any:
        return exchange(_outgoing(spec, arguments), access, context=context, effect=effect)

    definition = spec.model_dump(
        mode="json",
        include={"name", "description", "method", "url", "effect", "idempotent", "headers", "credential"},
    )
    parameters = _parameters(spec)
    tool = Tool(
        name=spec.name,
        description=spec.description,
        parameters=parameters,
        run=run,
        source=f"http:{spec.method} {spec.url}",
        digest=digest_of({**definition, "parameters": parameters}),
        effect=effect,
        egress=spec.egress,
        title=lambda arguments: in_words(spec.name, _outgoing(spec, arguments)),
    )
    return with_options(tool, spec)


def _require_template(spec: HttpTool) -> None:
    scheme, _, rest = spec.url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "{" in scheme + authority:
        raise BadConfig(f"{spec.name}: {spec.url}: an argument can't choose the scheme or the host.")
    if "#" in spec.url or re.search(r"[{}]", _PLACEHOLDER.sub("", spec.url)):
        raise BadConfig(
            f"{spec.name}: {spec.url}: write it without # and with one name in each pair of braces."
        )
    if spec.required is not None and (optional := set(_PLACEHOLDER.findall(spec.url)) - set(spec.required)):
        raise BadConfig(
            f"{spec.name}: the address needs {', '.join(sorted(optional))}: name it in required, too."
        )


def _parameters(spec: HttpTool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            name: {"type": schema} if isinstance(schema, str) else schema
            for name, schema in spec.arguments.items()
        },
        "required": list(spec.arguments if spec.required is None else spec.required),
        "additionalProperties": False,
    }


def _access(spec: HttpTool) -> Access:
    return Access(headers=spec.headers, credential=spec.credential, timeout=spec.timeout)


def _outgoing(spec: HttpTool, arguments: dict[str, Any]) -> Outgoing:
    """The request that these arguments make. Raises ToolFailure for one that can't stand in the address."""
    placed = set(_PLACEHOLDER.findall(spec.url))
    url = _PLACEHOLDER.sub(lambda found: segment(found[1], arguments[found[1]]), spec.url)
    others = {name: value for name, value in arguments.items() if name not in placed}
    if spec.method in IN_QUERY:
        query = tuple(pair for name, value in others.items() for pair in as_query(name, value))
        return Outgoing(spec.method, url, query)
    has_body = len(spec.arguments) > len(placed)
    return Outgoing(spec.method, url, content=as_json(others) if has_body else None)
