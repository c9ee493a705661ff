"""What all parts of a configuration share: unknown keys are refused, and durations are written as people write them."""

import difflib
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_DURATION = re.compile(r"\A(\d+)\s*([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Strict(BaseModel):
    """Refuses keys that it doesn't know, and names the nearest that it does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(cls.model_fields)}."
                    raise ValueError(f"unknown key {key!r}; {hint}")
        return value


def _seconds(value: Any) -> Any:
    """`90`, `"90s"`, `"15m"`, `"2h"` or `"1d"` as seconds."""
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError(f"{value!r} is no duration: write 90s, 15m, 2h or 1d.")
        return int(match[1]) * _SECONDS[match[2]]
    return value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(gt=0, le=366 * 86400)]
