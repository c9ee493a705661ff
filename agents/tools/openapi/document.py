"""OpenAPI documents: fetched within the egress rules, and read without trusting them."""

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx2
import yaml

from agents.exceptions import BadConfig
from agents.providers.patience import patient
from agents.tools import egress
from agents.tools.results import ToolFailure
from agents.tools.soundness import at
from traces.storable import storable

MAX_BYTES = 20_000_000
MAX_NODES, MAX_DEPTH = 1_000_000, 100  # after aliases are written out
SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Document:
    """An OpenAPI document of version 3.0 or 3.1, and where it is from."""

    url: str
    data: dict[str, Any]

    @property
    def is_3_0(self) -> bool:
        """Whether its schemas are written the old way."""
        return str(self.data["openapi"]).startswith("3.0")

    @property
    def title(self) -> str:
        """The name of the API."""
        title = _dict(self.data.get("info")).get("title")
        words = " ".join(storable(title).split()) if isinstance(title, str) else ""
        return words[:64] or httpx2.URL(self.url).host

    def resolved(self, value: Any) -> dict[str, Any]:
        """An object of the document, or what it refers to. Raises LookupError for what leads out of it or nowhere."""
        for _ in range(MAX_DEPTH):
            if not (isinstance(value, dict) and isinstance(value.get("$ref"), str)):
                return _dict(value)
            value = at(self.data, value["$ref"])
        raise LookupError("a reference that leads to itself")


def read(url: str) -> Document:
    """Fetch and parse the document at an address. Raises BadConfig."""
    try:
        content = _fetch(url)
    except (ToolFailure, httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise BadConfig(
            f"The OpenAPI document {url} can't be read: {error or type(error).__name__}"
        ) from error
    return parse(content, url=url)


def parse(content: bytes, *, url: str) -> Document:
    """The document in these bytes, JSON or YAML. Raises BadConfig."""
    try:
        data = _loaded(content.decode("utf-8-sig"))
        _require_bounded(data, url)
        # YAML has more than JSON, and a digest takes no whole number beyond 2^53, such as the bound of an int64.
        data = json.loads(json.dumps(data, default=str), parse_int=_number, parse_constant=str)
    except (TypeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise BadConfig(f"{url} is neither JSON nor YAML: {str(error)[:300]}.") from error
    version = str(data.get("openapi", "")) if isinstance(data, dict) else ""
    if not re.match(r"3\.[01](\.|\Z)", version):
        told = f"OpenAPI {version}" if version else "no OpenAPI document"
        if isinstance(data, dict) and "swagger" in data:
            told = f"Swagger {data['swagger']}"
        raise BadConfig(f"{url} is {told[:60]}: only OpenAPI 3.0 and 3.1 can be read.")
    return Document(url, data)


def _fetch(url: str) -> bytes:
    with egress.client(keep_alive=False, max_bytes=MAX_BYTES) as client, patient(timeout=SECONDS):
        accept = {"Accept": "application/json, application/yaml, */*;q=0.5"}
        response = egress.send(client, client.build_request("GET", url, headers=accept))
        try:
            content = b"".join(response.iter_raw())
        finally:
            response.close()
    if response.status_code != 200:
        raise ToolFailure(f"the server answered {response.status_code}.")
    return content


def _number(text: str) -> int | float:
    number = int(text)
    return number if abs(number) <= 2**53 else float(text)


class _Yaml(yaml.CSafeLoader):
    """YAML 1.2 in what it takes for booleans and dates: `on`, `no` and 2020-01-01 are texts."""


_UNWANTED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _UNWANTED]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"\A(true|True|false|False)\Z"), list("tTfF")
)


def _loaded(text: str) -> Any:
    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML may begin so, too
    return yaml.load(text, Loader=_Yaml)  # noqa: S506 (it is a safe loader)


def _require_bounded(data: Any, url: str) -> None:
    nodes, waiting = 0, [(data, 0)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise BadConfig(
                f"{url} has more than {MAX_NODES:,} parts, or more than {MAX_DEPTH} within each other."
            )
        if isinstance(node, dict):
            waiting += [(item, depth + 1) for item in node.values()]
        elif isinstance(node, list):
            waiting += [(item, depth + 1) for item in node]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
