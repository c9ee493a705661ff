"""From the arguments of an operation to its request."""

from collections.abc import Iterable
from typing import Any

from agents.tools.exchange import Outgoing, as_json, as_query, as_text, segment

SEPARATORS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


def outgoing(hints: dict[str, Any], arguments: dict[str, Any]) -> Outgoing:
    """The request that these arguments make. Raises ToolFailure for one that can't stand in the address."""
    path, query = hints["path"], list[tuple[str, str]]()
    headers, body = dict[str, str](), dict[str, Any]()
    for name, value in arguments.items():
        place = hints["arguments"][name]
        match place["in"]:
            case "path":
                path = path.replace(f"{{{place['name']}}}", segment(name, _simple(value, place)))
            case "query":
                query += _query(value, place)
            case "header" if value is not None:
                headers[place["name"]] = _simple(value, place)
            case "body":
                body[place["name"]] = value
    content = None
    if "" in body:
        content = as_json(body[""])
    elif body or hints.get("body_required"):
        content = as_json(body)
    return Outgoing(
        method=hints["method"],
        url=hints["server"] + path,
        query=tuple(query),
        headers=headers,
        content=content,
        content_type=hints.get("content_type", "application/json"),
    )


def _simple(value: Any, place: dict[str, Any]) -> str:
    if place["style"] == "json":
        return as_json(value).decode()
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    if isinstance(value, dict):
        between = "=" if place["explode"] else ","
        return ",".join(f"{key}{between}{as_text(item)}" for key, item in value.items())
    return as_text(value)


def _query(value: Any, place: dict[str, Any]) -> Iterable[tuple[str, str]]:
    name, style, explode = place["name"], place["style"], place["explode"]
    if style == "json":
        return [(name, as_json(value).decode())]
    if isinstance(value, dict):
        if style == "deepObject":
            return [(f"{name}[{key}]", as_text(item)) for key, item in value.items()]
        if explode:
            return [(str(key), as_text(item)) for key, item in value.items()]
        return [(name, ",".join(f"{key},{as_text(item)}" for key, item in value.items()))]
    if isinstance(value, list) and not explode:
        return [(name, SEPARATORS.get(style, ",").join(map(as_text, value)))]
    return as_query(name, value)
