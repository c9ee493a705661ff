"""What all parts of a configuration share: unknown keys are refused, and durations are written as people write them."""

import re
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from agents.config.wording import mistakes
from agents.nearest import hint, nearest

_DURATION = re.compile(r"\A(\d+)\s*([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Strict(BaseModel):
    """Refuses keys that it doesn't know, and names the nearest that it does; the known ones are checked all the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _known_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        unknown = [key for key in value if key not in cls.model_fields] if isinstance(value, dict) else []
        if not unknown:
            return handler(value)
        told = [
            _mistake((str(key),), f"unknown key {key!r}; {hint(str(key), cls.model_fields)}")
            for key in unknown
        ]
        meant = [(nearest(str(key), cls.model_fields),) for key in unknown]
        try:
            handler({key: known for key, known in value.items() if key in cls.model_fields})
        except ValidationError as error:
            items = zip(error.errors(include_url=False), mistakes(error), strict=True)
            # Of a misspelt key is said once that it is misspelt, not that it is missing too.
            told += [
                _mistake(item["loc"], words["message"])
                for item, words in items
                if item["type"] != "missing" or item["loc"] not in meant
            ]
        raise ValidationError.from_exception_data(cls.__name__, told)


def _mistake(place: tuple[str | int, ...], message: str) -> InitErrorDetails:
    kind = PydanticCustomError("mistake", "{message}", {"message": message})
    return InitErrorDetails(type=kind, loc=place, input=None)


def _seconds(value: Any) -> Any:
    """`90`, `"90s"`, `"15m"`, `"2h"` or `"1d"` as seconds."""
    if isinstance(value, str):
        match = _DURATION.match(value.strip())
        if match is None:
            raise ValueError(f"{value!r} is no duration: write 90s, 15m, 2h or 1d.")
        return int(match[1]) * _SECONDS[match[2]]
    return value


Seconds = Annotated[int, BeforeValidator(_seconds), Field(gt=0, le=366 * 86400)]
