"""Agents as files: what a person writes in an editor and keeps under version control."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from django.contrib.auth.models import User
from django.db import transaction

from agents.actions import publish
from agents.checking import check_config
from agents.config import AgentConfig
from agents.exceptions import BadConfig, UnknownAgent
from agents.models import Agent, AgentVersion
from agents.shorthand import short_config
from traces.storable import storable

WIDTH = 100  # of a line, where a file is written
_NAME = re.compile(r"\A[a-z][a-z0-9_-]{0,63}\Z")

Place = tuple[str | int, ...]


def parse(text: str, *, source: str = "agent file") -> tuple[str, dict[str, Any]]:
    """The agent's name and its checked configuration. Raises BadConfig, which names source, line and key."""
    document, lines = load(text, source=source)
    if not isinstance(document, dict):
        raise BadConfig(f"{source}: an agent file is a mapping that begins with `agent: NAME`.")
    name = document.pop("agent", None)
    if not isinstance(name, str) or not _NAME.match(name):
        raise BadConfig(
            f"{source}:{lines.get(('agent',), 1)}: agent: name the agent, in lower-case letters, digits, - and _."
        )
    try:
        check_config(document)
    except BadConfig as error:
        raise BadConfig(located(error, lines, source), errors=error.errors) from error
    return name, document


def load(text: str, *, source: str) -> tuple[Any, dict[Place, int]]:
    """A YAML text and the line of every key and item in it.

    Raises BadConfig for what is no YAML, what could mean something else than it says, and what can't be stored.
    """
    lines: dict[Place, int] = {}
    try:
        _require_plain(text, source)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _walk(root, (), lines, source)
        return _Loader(text).get_single_data(), lines
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadConfig(f"{source}{line}: this is not YAML: {error.problem}.") from error
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        message = f"{source}:{number}: this is not YAML: it holds the character U+{error.character:04X}."
        raise BadConfig(message) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise BadConfig(f"{source}: this is not YAML: {error}.") from error


def read_file(path: str | Path) -> tuple[str, dict[str, Any]]:
    """What `parse` makes of a file. Raises BadConfig, also where it can't be read."""
    return parse(read_text(path), source=str(path))


def read_text(path: str | Path) -> str:
    """What stands in a file. Raises BadConfig where it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadConfig(f"{path}: {reason}.") from error


def apply_file(path: str | Path, *, actor: User | None) -> tuple[AgentVersion, bool]:
    """Publish a file; the version, and whether it is new. Raises BadConfig."""
    return apply_files([path], actor=actor)[0]


@transaction.atomic
def apply_files(paths: Sequence[str | Path], *, actor: User | None) -> list[tuple[AgentVersion, bool]]:
    """Publish several files, or none where one is bad. Raises BadConfig, with every bad file in its message."""
    agents: dict[str, tuple[str | Path, dict[str, Any]]] = {}
    wrong: list[str] = []
    for path in paths:
        try:
            name, config = read_file(path)
        except BadConfig as error:
            wrong.append(str(error))
            continue
        if name in agents:
            wrong.append(f"{path}: {agents[name][0]} is the agent {name!r} already.")
        agents[name] = path, config
    if wrong:
        raise BadConfig("\n".join(wrong))
    return [
        publish(name=name, config=config, actor=actor, note=f"From {Path(path).name}"[:300])
        for name, (path, config) in agents.items()
    ]


def export(name: str) -> str:
    """The live version as a file; applying it changes nothing. Raises UnknownAgent."""
    agent = Agent.objects.select_related("live_version").filter(name=name).exclude(live_version=None).first()
    if agent is None or agent.live_version is None:
        known = ", ".join(Agent.objects.exclude(live_version=None).values_list("name", flat=True)) or "none"
        raise UnknownAgent(f"There is no agent {name!r}. Agents: {known}.")
    return as_yaml(name, agent.live_version.config)


def diff(path: str | Path) -> str:
    """What applying a file would change, as a unified diff; "" where it changes nothing. Raises BadConfig."""
    name, config = read_file(path)
    try:
        live = export(name)
    except UnknownAgent:
        live = ""
    return "".join(
        difflib.unified_diff(
            live.splitlines(keepends=True),
            as_yaml(name, config).splitlines(keepends=True),
            fromfile=f"{name} (live)",
            tofile=str(path),
        )
    )


def as_yaml(name: str, config: dict[str, Any]) -> str:
    """A configuration as a file: what differs from the defaults, in the order of the documentation."""
    short = short_config(AgentConfig.model_validate(config).model_dump(mode="json", exclude_defaults=True))
    return yaml.dump(
        {"agent": name, **short}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH
    )


def _require_plain(text: str, source: str) -> None:
    """Raise BadConfig for names of parts and what stands for them: a text that begins with & or * would lose a word."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            line = event.start_mark.line + 1 if event.start_mark else 1
            mark, kind = ("*", "an alias") if isinstance(event, yaml.AliasEvent) else ("&", "an anchor")
            raise BadConfig(
                f"{source}:{line}: {mark}{event.anchor} is {kind}, and none are taken: "
                f"write out what it stands for, or put a text that begins with {mark} into quotes."
            )


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], source: str) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                raise BadConfig(f"{source}:{line}: << merges keys, which is not taken: write the keys out.")
            if inner in lines:
                raise BadConfig(f"{source}:{line}: the key {key.value!r} stands here twice.")
            lines[inner] = line
            _walk(value, inner, lines, source)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*place, index), lines, source)
    elif storable(node.value) != node.value:
        raise BadConfig(f"{source}:{lines[place]}: this text holds a character that can't be stored.")


def located(error: BadConfig, lines: dict[Place, int], source: str) -> str:
    """Each mistake on a line of its own, as compilers write them."""
    if not error.errors:
        return f"{source}: {error}"
    told: list[tuple[int, str]] = []
    for mistake in error.errors:
        place = known = tuple(mistake["path"])
        while known and known not in lines:
            known = known[:-1]
        line, where = lines.get(known, 1), ".".join(str(part) for part in place)
        told.append((line, f"{source}:{line}: {where}: {mistake['message']}"))
    return "\n".join(words for _, words in sorted(told, key=lambda each: each[0]))


class _Loader(yaml.SafeLoader):
    """Says where a value stands that is none of its kind, such as the 45th day of a month."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
