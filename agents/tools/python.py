"""Python functions as tools: the schema comes from type hints, the words from the docstring."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import rfc8785
from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError, create_model

from agents.tools.results import HALF_A_PAIR, ToolFailure
from agents.tools.spec import Category, Effect, Preview, Tool, ToolContext

Title = str | Callable[[dict[str, Any]], str] | None


def tool(
    *,
    category: Category | str = Category.LOOKUP,
    effect: Effect | str = Effect.IRREVERSIBLE,
    idempotent: bool = False,
    egress: bool = False,
    untrusted: bool = True,
    timeout: float = 30.0,
    permission: str = "",
    rate_limit: int = 0,
    retries: int | None = None,
    fallback: str = "",
    cache_seconds: float = 0.0,
    fresh_seconds: float = 0.0,
    polling: bool = False,
    title: Title = None,
    when_to_use: str = "",
    when_not_to_use: str = "",
    check: Callable[..., None] | None = None,
    preview: Callable[..., Preview] | None = None,
    lookup: Callable[..., Any] | None = None,
    undo: tuple[str, dict[str, Any]] | None = None,
    fingerprint: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function whose first parameter is the ToolContext and whose others are the arguments.

    The type hint of what it returns becomes the schema of its results.

    The first paragraph of the docstring tells the model what it does; `Annotated[..., Field(description=...)]`
    describes an argument. `title` is a format string over the arguments ("Refund {amount} EUR for {order_id}") or a
    function of them. `check` and `preview` take the same parameters as the function; `check` raises ValueError,
    NotFound or Denied with a message that says what would be valid, `preview` must have no effect. `fingerprint`, of the
    same parameters, returns what the call rests on: where that differs just before an approved call runs from what it
    was when people were asked, they are asked again. `lookup` takes them too, has no effect either, and tells what its
    system knows of the call, by `context.idempotency_key` where it can: a person reads that where the outcome of a call
    was lost. An effect that isn't stated is irreversible.
    `rate_limit` (calls a minute), `retries` and `fallback` (the name of another tool) say what holds
    when the tool is in trouble. `cache_seconds` and `fresh_seconds` are for reads alone: how long a result serves the
    same subject again, and beyond what age it is read again before an effect runs. `undo` names the tool that takes a
    call back, and its arguments: ("remove_note", {"note_id": "result.id"}); an agent that lacks it can't undo. Raises
    TypeError for a parameter without a type hint, and for an effect that is to be cached.
    """
    if (cache_seconds or fresh_seconds) and Effect(effect) is not Effect.READ:
        raise TypeError("cache_seconds and fresh_seconds are for tools with effect='read'")

    def make(function: Callable[..., Any]) -> Tool:
        hints = get_type_hints(function, include_extras=True)
        names = list(inspect.signature(function).parameters.values())[1:]
        fields: dict[str, Any] = {}
        for parameter in names:
            if parameter.name not in hints:
                raise TypeError(f"{function.__qualname__}: parameter {parameter.name!r} needs a type hint")
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
        model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
        parameters = model.model_json_schema()
        parameters.pop("title", None)
        for schema in parameters.get("properties", {}).values():
            schema.pop("title", None)
        doc = inspect.getdoc(function) or ""
        description = " ".join(doc.split("\n\n")[0].split())
        if not description:
            raise TypeError(f"{function.__qualname__}: a tool needs a docstring that says what it does")
        definition: dict[str, Any] = {
            "name": function.__name__,
            "description": description,
            "parameters": parameters,
            "effect": str(effect),
            "idempotent": idempotent,
        }

        def bound(target: Callable[..., Any]) -> Callable[[ToolContext, dict[str, Any]], Any]:
            def call(context: ToolContext, arguments: dict[str, Any]) -> Any:
                try:
                    typed = model.model_validate(arguments)
                except ValidationError as error:
                    raise ToolFailure(_unfitting(error)) from error
                return target(context, **{p.name: getattr(typed, p.name) for p in names})

            return call

        return Tool(
            name=function.__name__,
            description=description,
            parameters=parameters,
            returns=_returned(hints.get("return", Any)),
            run=bound(function),
            source=f"python:{function.__module__}.{function.__qualname__}",
            digest=hashlib.sha256(rfc8785.dumps(definition)).hexdigest(),
            category=Category(category),
            effect=Effect(effect),
            idempotent=idempotent,
            egress=egress,
            untrusted=untrusted,
            timeout=timeout,
            permission=permission,
            rate_limit=rate_limit,
            retries=retries,
            fallback=fallback,
            cache_seconds=cache_seconds,
            fresh_seconds=fresh_seconds,
            polling=polling,
            when_to_use=when_to_use,
            when_not_to_use=when_not_to_use,
            title=_titled(title, names) if isinstance(title, str) else title,
            check=bound(check) if check else None,
            preview=bound(preview) if preview else None,
            lookup=bound(lookup) if lookup else None,
            undo=undo,
            fingerprint=bound(fingerprint) if fingerprint else None,
        )

    return make


def _returned(hint: Any) -> dict[str, Any]:
    """JSON Schema of what a function with this type hint returns; empty where JSON knows no such type."""
    try:
        return TypeAdapter(hint).json_schema(mode="serialization")
    except PydanticUserError:
        return {}


def _unfitting(error: ValidationError) -> str:
    """Which arguments are no values of their types, without what was sent."""
    wrong = (
        f"{'.'.join(str(part) for part in each['loc']) or 'the arguments'}: "
        + (HALF_A_PAIR if each["type"] == "string_unicode" else each["msg"][:1].lower() + each["msg"][1:])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )
    return f"{'; '.join(wrong)}."


def _titled(title: str, parameters: Sequence[inspect.Parameter]) -> Callable[[dict[str, Any]], str]:
    """The title as a function of the arguments; one that was left out shows its default."""
    defaults = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.default is not inspect.Parameter.empty
    }
    return lambda arguments: title.format_map(defaults | arguments)


__all__ = ["Field", "tool"]
