"""Tools from documents: what to paste into an agent file."""

import json
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.exceptions import AgentError
from agents.tools.openapi import describe
from agents.tools.pins import Definition


class Command(BaseCommand):
    """Nothing is kept: the document is read again when the agent that names it is published."""

    help = "Read an OpenAPI document, and print an entry for the tools of an agent file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        openapi = commands.add_parser("openapi", help="an entry with every operation, its effect guessed")
        openapi.add_argument("url", metavar="URL", help="of the document")
        openapi.add_argument("--include", nargs="+", metavar="OPERATION", help="only these operations")
        openapi.add_argument(
            "--server", default="", help="the address of the API, where the document tells another"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        url, server = options["url"], options["server"]
        try:
            found = describe(url, server=server, include=options["include"])
        except AgentError as error:
            raise CommandError(str(error)) from error
        for line in _entry(url, server, found):
            self.stdout.write(line)


def _entry(url: str, server: str, found: list[Definition]) -> Iterator[str]:
    usable = [each for each in found if not each.hints["unsupported"]]
    yield "  - openapi:"
    yield f"      url: {_quoted(url)}"
    if server:
        yield f"      server: {_quoted(server)}"
    else:
        servers = sorted({each.hints["server"] for each in usable})
        yield f"      # The API is at {_comment(', '.join(servers))}, as the document says; server: changes it."
    schemes = sorted({name for each in usable for name in each.hints["security"]})
    if schemes:
        yield f"      # credential: NAME  # the API asks for {_comment(', '.join(schemes))}"
    yield "      include:"
    for each in usable:
        yield f"        - {_quoted(each.name)}  # {_comment(_told(each))}"
    yield "      # Guessed from the methods alone. Confirm each: a read runs without anybody being asked."
    yield "      effects:"
    for each in usable:
        yield f"        {_quoted(each.name)}: {_guess(each)}  # guessed: {each.hints['method']}"
    for each in found:
        if why := each.hints["unsupported"]:
            yield f"      # left out: {_comment(f'{each.name} ({why})')}"


def _guess(definition: Definition) -> str:
    return "read" if definition.hints["method"] in ("GET", "HEAD") else "irreversible"


def _told(definition: Definition) -> str:
    first = definition.description.partition("\n")[0]
    return f"{definition.hints['method']} {definition.hints['path']}: {first}"


def _comment(text: str) -> str:
    """Words of a document on one line, which can begin no other."""
    return "".join(char if char.isprintable() else " " for char in text)[:120].strip()


def _quoted(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) and text.lower() not in (
        "true",
        "false",
        "null",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
    )
    return text if plain else json.dumps(text)
