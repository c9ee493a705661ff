"""The operations of a document, each as the definition of a tool: one flat schema, and where each argument goes."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2

from agents.exceptions import BadConfig
from agents.tools.exchange import OWN_HEADERS
from agents.tools.openapi.document import Document
from agents.tools.openapi.schemas import Schemas
from agents.tools.pins import Definition
from agents.tools.soundness import require_sound
from traces.storable import storable

METHODS = ("get", "head", "post", "put", "patch", "delete")
DESCRIPTION_CHARS = 1000
SCHEMA_CHARS = 100_000
# By the standard these are no parameters; Gatehouse sets them.
LEFT_OUT = OWN_HEADERS | {"accept", "content-type", "authorization"}
STYLES = {
    "path": ("simple",),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
}


class Unsupported(Exception):
    """The operation can't be called by us; why, in words."""


def definitions(document: Document, *, server: str = "") -> list[Definition]:
    """Every operation. One that can't be called says why in its hints. `server` goes before those of the document."""
    found: dict[str, Definition] = {}
    for path, item in _dict(document.data.get("paths")).items():
        try:
            item = document.resolved(item)  # noqa: PLW2901
        except LookupError:
            continue
        for method in METHODS:
            if isinstance(item.get(method), dict):
                definition = _definition(document, str(path), item, method, server)
                found.setdefault(definition.name, definition)
    return list(found.values())


def _definition(document: Document, path: str, item: dict[str, Any], method: str, server: str) -> Definition:
    operation = item[method]
    hints: dict[str, Any] = {
        "method": method.upper(),
        "path": path,
        "server": "",
        "security": sorted(
            {
                name
                for choice in _list(operation.get("security", document.data.get("security")))
                for name in _dict(choice)
            }
        ),
        "arguments": {},
        "unsupported": "",
    }
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    try:
        hints["server"] = server.rstrip("/") or _server(document, operation, item)
        parameters = _arguments(document, path, item, operation, hints)
    except Unsupported as error:
        hints["unsupported"] = str(error)
    except LookupError as error:
        hints["unsupported"] = f"it has {error}"
    return Definition(
        name=_name(operation, method, path),
        description=_description(operation, method, path),
        parameters=parameters,
        hints=hints,
    )


def _arguments(
    document: Document, path: str, item: dict[str, Any], operation: dict[str, Any], hints: dict[str, Any]
) -> dict[str, Any]:
    """The schema of all arguments; where each goes is put into the hints."""
    schemas = Schemas(document)
    properties, required = dict[str, Any](), list[str]()
    for parameter in _parameters(document, item, operation):
        if (place := _place(parameter, path)) is None:
            continue
        name = _free(parameter["name"], properties, parameter["in"])
        properties[name] = _with_description(schemas.convert(_schema_of(parameter)), parameter)
        hints["arguments"][name] = place
        if parameter.get("required") or place["in"] == "path":
            required.append(name)
    missing = set(re.findall(r"\{([^{}]*)\}", path)) - {
        place["name"] for place in hints["arguments"].values() if place["in"] == "path"
    }
    if missing or "?" in path or "#" in path or not path.startswith("/"):
        raise Unsupported(f"its path {path[:200]} has parts that no parameter describes")
    body = document.resolved(operation.get("requestBody"))
    if media := _json_media(body):
        hints["content_type"], schema = media
        hints["body_required"] = bool(body.get("required"))
        flat = schemas.flat(schema)
        for prop, sub in flat[0].items() if flat else [("", schema)]:
            name = _free(prop or "body", properties, "body")
            properties[name] = schemas.convert(sub)
            hints["arguments"][name] = {"in": "body", "name": prop}
            if hints["body_required"] and (flat is None or prop in flat[1]):
                required.append(name)
    made = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if gathered := schemas.definitions():
        made["$defs"] = gathered
    if len(json.dumps(made, default=str)) > SCHEMA_CHARS:
        raise Unsupported(f"its arguments take more than {SCHEMA_CHARS:,} characters to describe")
    try:
        require_sound(made, what="its schema")
    except BadConfig as error:
        raise Unsupported(str(error)) from error
    return made


def _parameters(
    document: Document, item: dict[str, Any], operation: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for each in [*_list(item.get("parameters")), *_list(operation.get("parameters"))]:
        parameter = document.resolved(each)
        if isinstance(parameter.get("name"), str) and isinstance(parameter.get("in"), str):
            merged[parameter["in"], parameter["name"]] = parameter
    yield from merged.values()


def _place(parameter: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Where a parameter goes; None for one that is left out."""
    name, where = parameter["name"], parameter["in"]
    if (where == "header" and name.lower() in LEFT_OUT) or (where == "path" and f"{{{name}}}" not in path):
        return None
    if where not in STYLES:
        if parameter.get("required"):
            raise Unsupported(f"it needs the {where} parameter {name}")
        return None
    if isinstance(parameter.get("content"), dict):
        return {"in": where, "name": name, "style": "json", "explode": False}
    style = parameter.get("style", STYLES[where][0])
    if style not in STYLES[where]:
        raise Unsupported(f"its parameter {name} has the style {style}")
    return {
        "in": where,
        "name": name,
        "style": style,
        "explode": parameter.get("explode", style == "form") is True,
    }


def _schema_of(parameter: dict[str, Any]) -> Any:
    for media in _dict(parameter.get("content")).values():
        return _dict(media).get("schema", {})
    return parameter.get("schema", {})


def _json_media(body: dict[str, Any]) -> tuple[str, Any] | None:
    content = _dict(body.get("content"))
    for kind, media in content.items():
        bare = str(kind).partition(";")[0].strip().lower()
        if bare == "application/json" or bare.endswith("+json"):
            return bare, _dict(media).get("schema", {})
    if content and body.get("required"):
        raise Unsupported(f"its body is {', '.join(map(str, content))[:200]}, and only JSON can be sent")
    return None


def _server(document: Document, operation: dict[str, Any], item: dict[str, Any]) -> str:
    listed = operation.get("servers") or item.get("servers") or document.data.get("servers")
    first = _dict(next(iter(_list(listed)), {"url": "/"}))
    variables = _dict(first.get("variables"))
    url = re.sub(
        r"\{([^{}]*)\}",
        lambda found: str(_dict(variables.get(found[1])).get("default", found[0])),
        str(first.get("url", "/")),
    )
    try:
        joined = str(httpx2.URL(document.url).join(url))
    except (httpx2.InvalidURL, ValueError) as error:
        raise Unsupported(f"its server {url[:200]} is no address") from error
    if re.search(r"[{}?#]", url):
        raise Unsupported(f"its server {joined[:200]} is no whole address")
    return joined.rstrip("/")


def _name(operation: dict[str, Any], method: str, path: str) -> str:
    name = operation.get("operationId")
    if isinstance(name, str) and name.strip():
        return str(storable(name)).strip()[:200]
    return f"{method}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_')}"[:200]


def _description(operation: dict[str, Any], method: str, path: str) -> str:
    parts = [
        operation[key].strip() for key in ("summary", "description") if isinstance(operation.get(key), str)
    ]
    text = "\n".join(dict.fromkeys(filter(None, parts))) or f"{method.upper()} {path}"
    return text[:DESCRIPTION_CHARS] + (" Deprecated." if operation.get("deprecated") is True else "")


def _free(wanted: str, taken: dict[str, Any], where: str) -> str:
    """A name for an argument that providers of models take, and that no other argument has."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted)[:60] or "_"
    while name in taken:
        name = f"{where}_{name}"
        if len(name) > 64:
            raise Unsupported(f"too many of its parameters are called {wanted[:60]}")
    return name


def _with_description(schema: Any, parameter: dict[str, Any]) -> Any:
    text = parameter.get("description")
    if not isinstance(text, str) or not text.strip():
        return schema
    return {"description": text.strip()[:DESCRIPTION_CHARS], **(schema if isinstance(schema, dict) else {})}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
