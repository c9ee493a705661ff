"""A scripted model and a ledger for the tests of runs."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents.providers.routing import using
from agents.providers.scripted import Script, Scripted
from agents.tools.breaker import breakers
from agents.valkey import valkey as shared

Play = Callable[[Script], Scripted]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file for the effects of each test."""
    monkeypatch.setenv("GATEHOUSE_TEST_LEDGER", str(tmp_path / "ledger"))


@pytest.fixture(autouse=True)
def tools_at_rest(valkey: object) -> None:
    """No test finds a tool that failed in another one."""
    client = shared()
    for key in client.scan_iter("gatehouse:tool*"):
        client.delete(key)
    breakers._open.clear()
    breakers._look_at = 0.0


@pytest.fixture
def play() -> Iterator[Play]:
    """Have the model play a script for the rest of the test."""
    with ExitStack() as stack:

        def register(script: Script) -> Scripted:
            provider = Scripted(script)
            stack.enter_context(using(provider))
            return provider

        yield register
