"""What a pattern needs beside models and tools."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from agents.config.strict import Strict
from agents.tools.spec import Category

_NAME = re.compile(r"\A[a-z][a-z0-9_-]*\Z")


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError(f"{value!r} is no name: use lower-case letters, digits, - and _.")
    return value


Name = Annotated[str, AfterValidator(_name)]


class Route(Strict):
    """One class of requests, and the agent that works on it."""

    name: Name
    when: str = Field(min_length=1)  # which requests belong to it, in words
    agent: Name


class Router(Strict):
    """A small model classifies; the agent of the class does the work as a run of its own."""

    routes: tuple[Route, ...] = Field(min_length=1, max_length=20)
    default: Name  # the route taken when nothing fits, or the model isn't sure
    confidence_min: float = Field(0.6, ge=0, le=1)

    @model_validator(mode="after")
    def _known_default(self) -> "Router":
        names = [route.name for route in self.routes]
        if self.default not in names:
            raise ValueError(
                f"router.default is {self.default!r}; name one of the routes: {', '.join(names)}."
            )
        if len(set(names)) < len(names):
            raise ValueError("two routes have one name.")
        return self


class Specialist(Strict):
    """An agent to which a coordinator delegates."""

    agent: Name
    when: str = Field(min_length=1)  # what it is for, in words


class Coordinator(Strict):
    """Delegates parts of the task to specialists, which work in parallel on a part of its budget."""

    agents: tuple[Specialist, ...] = Field(min_length=1, max_length=20)
    fan_out: int = Field(5, ge=1, le=20)  # parts at most
    depth: int = Field(2, ge=1, le=4)  # coordinators under coordinators, itself counted


class Link(Strict):
    """One step of a chain: what to do with what the step before it said."""

    title: str = Field(min_length=1, max_length=200)
    instructions: str = Field(min_length=1)
    categories: tuple[Category, ...] = ()  # of tools; none: it only writes


class Plan(Strict):
    """How plans are treated."""

    approve: bool = False  # a person approves or edits each plan before it is carried out


class FastPath(Strict):
    """Requests that the router's model recognises as simple skip the planner, and are answered by it at once."""

    when: str = Field(min_length=1)  # which requests are simple, in words
    confidence_min: float = Field(0.8, ge=0, le=1)
