"""Operations of an API as tools, by its OpenAPI document. They are pinned: what it tells later suspends what differs."""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

import httpx2
from django.utils import timezone

from agents.config.tools import CredentialRef, OpenApi, ToolOptions
from agents.exceptions import BadConfig
from agents.models import PinnedTool, ToolSource
from agents.tools import egress
from agents.tools.exchange import Access, exchange, in_words
from agents.tools.openapi.document import read
from agents.tools.openapi.operations import definitions
from agents.tools.openapi.placing import outgoing
from agents.tools.options import with_options
from agents.tools.pins import Definition, note_failure, note_listing, require_listed, suspended
from agents.tools.results import ToolFailure
from agents.tools.spec import Effect, Tool, ToolContext
from approvals.digest import digest_of

NO_OPTIONS = ToolOptions.model_validate({})


def ask(spec: OpenApi) -> None:
    """Pin what the document tells where it was never read, and check that what is included can be called.

    Raises BadConfig.
    """
    _access(spec, NO_OPTIONS).require()
    if not ToolSource.objects.filter(key=key_of(spec)).exists():
        _list(spec)
    for row in _included(spec):
        if why := _objection(spec, row.definition["hints"]):
            raise BadConfig(why)
    for field in ("effects", "options"):
        for name in getattr(spec, field):
            if name not in spec.include:
                raise BadConfig(
                    f"{field} names {name!r}, which is not in include.{_near(name, spec.include)}"
                )


def refresh(spec: OpenApi) -> None:
    """Read the document again: what it tells otherwise than before is suspended until an admin has looked."""
    try:
        _list(spec)
    except BadConfig as error:
        note_failure(key_of(spec), str(error))


def describe(url: str, *, server: str = "", include: Sequence[str] | None = None) -> list[Definition]:
    """The operations of a document, or those that are included; nothing is pinned. Raises BadConfig."""
    found = {each.name: each for each in definitions(read(url), server=server)}
    for name in include or ():
        if name not in found:
            raise BadConfig(f"{url} has no operation {name!r}.{_near(name, found)}")
    return [found[name] for name in include] if include else list(found.values())


def expand(spec: OpenApi) -> list[Tool]:
    """The tools of the operations that are included, as they are pinned. Raises BadConfig."""
    return [_tool(spec, row) for row in _included(spec)]


def key_of(spec: OpenApi) -> str:
    """The key under which its operations are pinned."""
    return digest_of({"kind": "openapi", "url": spec.url, "server": spec.server})


def _list(spec: OpenApi) -> None:
    document = read(spec.url)
    found = definitions(document, server=spec.server)
    if not found:
        raise BadConfig(f"The OpenAPI document {spec.url} describes no operation.")
    note_listing(
        kind=ToolSource.Kind.OPENAPI,
        key=key_of(spec),
        name=document.title,
        place=str(httpx2.URL(spec.url).copy_with(query=None)),
        definitions=found,
        now=timezone.now(),
    )


def _included(spec: OpenApi) -> list[PinnedTool]:
    rows = {row.name: row for row in require_listed(key_of(spec), what=f"The OpenAPI document {spec.url}")}
    for name in spec.include:
        if name not in rows:
            raise BadConfig(f"{spec.url} has no operation {name!r}.{_near(name, rows)}")
    return [rows[name] for name in dict.fromkeys(spec.include)]


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    some = sorted(known)
    listed = ", ".join(some[:20]) + (f" and {len(some) - 20} more" if len(some) > 20 else "")
    return f" Did you mean {near[0]!r}?" if near else f" Known: {listed}."


def _objection(spec: OpenApi, hints: dict[str, Any]) -> str:
    """Why an operation can't be called, in words; empty: it can."""
    title = f"{hints['method']} {hints['path']} of {spec.url}"
    if hints["unsupported"]:
        return f"{title} can't be called: {hints['unsupported']}."
    try:
        place = egress.require(hints["server"])
    except egress.EgressRefused as refused:
        return f"{title}: {refused}"
    has_secret = spec.credential or any(isinstance(value, CredentialRef) for value in spec.headers.values())
    if has_secret and not spec.server and place != egress.place_of(spec.url):
        return (
            f"{title} is at {place}, as the document says, which is another place than its own."
            f" Write server: {hints['server']} if the credential may be sent there."
        )
    return ""


def _tool(spec: OpenApi, row: PinnedTool) -> Tool:
    definition, hints = row.definition, row.definition["hints"]
    options = spec.options.get(row.name, NO_OPTIONS)
    name = _tool_name(row.name)
    effect = Effect(spec.effects.get(row.name, Effect.IRREVERSIBLE))
    access, why = _access(spec, options), suspended(row) or _objection(spec, hints)

    def run(context: ToolContext, arguments: dict[str, Any]) -> Any:
        if why:
            raise ToolFailure(why)
        return exchange(outgoing(hints, arguments), access, context=context, effect=effect)

    told = spec.model_dump(mode="json", include={"headers", "credential"})
    tool = Tool(
        name=name,
        description=definition["description"],
        parameters=definition["parameters"],
        run=run,
        source=f"openapi:{spec.url}#{row.name}",
        digest=digest_of(
            {
                "definition": row.digest,
                "name": name,
                "effect": effect,
                "idempotent": options.idempotent,
                **told,
            }
        ),
        effect=effect,
        egress=spec.egress,
        title=lambda arguments: in_words(name, outgoing(hints, arguments)),
        suspended=why,
    )
    return with_options(tool, options)


def _tool_name(operation: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", operation)
    return (name if name[:1].isalpha() else f"op_{name}")[:64]


def _access(spec: OpenApi, options: ToolOptions) -> Access:
    return Access(headers=spec.headers, credential=spec.credential, timeout=options.timeout)
