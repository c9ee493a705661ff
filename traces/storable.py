"""JSON as Postgres can hold it."""

import math
from typing import Any


def storable(value: Any) -> Any:
    """`value` with what Postgres refuses made harmless: NUL, lone surrogates, NaN and infinities.

    Done once, where words come in, so that the same stands in what is shown, digested and run.
    """
    match value:
        case str():
            return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {storable(str(key)): storable(item) for key, item in value.items()}
        case list() | tuple():
            return [storable(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value
