"""From names to providers."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from agents.providers import routing
from agents.providers.base import FailureKind, ModelFailure, ModelRequest, Provider
from agents.providers.routing import UnknownProvider, close_all, resolve, split_model, using
from agents.providers.scripted import Scripted, answer, call, say, together

pytestmark = pytest.mark.req("MOD-1")
NOTHING = {"api_key": "", "base_url": ""}


@pytest.fixture(autouse=True)
def endpoints(settings: Any) -> Iterator[dict[str, dict[str, str]]]:
    settings.MODEL_ENDPOINTS = {"anthropic": dict(NOTHING), "openai": dict(NOTHING)}
    settings.SIMULATOR_URL = "http://127.0.0.1:9"
    close_all()
    yield settings.MODEL_ENDPOINTS
    close_all()


def told(provider: Provider) -> tuple[str, str, bool]:
    """Where it sends what key, and whether it says that it is simulated."""
    return vars(provider)["_url"], vars(provider)["_key"], provider.simulated


def test_without_key_or_url_the_simulator_stands_in() -> None:
    assert told(resolve("anthropic")) == ("http://127.0.0.1:9", "simulated", True)
    assert told(resolve("openai")) == ("http://127.0.0.1:9/v1", "simulated", True)
    assert told(resolve("simulated")) == ("http://127.0.0.1:9", "simulated", True)
    assert [resolve(name).name for name in ("anthropic", "openai")] == ["anthropic", "openai"]


def test_a_key_leads_to_the_provider_itself(endpoints: dict[str, dict[str, str]]) -> None:
    endpoints["anthropic"]["api_key"] = "a"
    endpoints["openai"]["api_key"] = "o"
    assert told(resolve("anthropic")) == ("https://api.anthropic.com", "a", False)
    assert told(resolve("openai")) == ("https://api.openai.com/v1", "o", False)


def test_a_base_url_needs_no_key(endpoints: dict[str, dict[str, str]]) -> None:
    endpoints["openai"]["base_url"] = "http://127.0.0.1:11434/v1"
    assert told(resolve("openai")) == ("http://127.0.0.1:11434/v1", "no-key", False)


def test_a_key_is_sent_to_its_own_host_only(endpoints: dict[str, dict[str, str]]) -> None:
    endpoints["openai"]["api_key"] = "o"
    assert told(resolve("openai", base_url="https://api.openai.com/v2"))[1] == "o"
    for foreign in (
        "https://evil.example/v1",
        "http://api.openai.com/v1",
        "https://api.openai.com.evil.example/v1",
    ):
        assert told(resolve("openai", base_url=foreign)) == (foreign, "no-key", False)
    endpoints["openai"]["base_url"] = "https://gateway.example/v1"
    assert told(resolve("openai", base_url="https://gateway.example/other"))[1] == "o"
    assert told(resolve("openai", base_url="https://api.openai.com/v1"))[1] == "no-key"


def test_nowhere_to_go_is_said(settings: Any) -> None:
    settings.SIMULATOR_URL = ""
    with pytest.raises(ModelFailure, match="ANTHROPIC_API_KEY") as caught:
        resolve("anthropic")
    assert caught.value.kind is FailureKind.INVALID_REQUEST


def test_threads_share_one_provider() -> None:
    found: list[Provider] = []
    threads = [threading.Thread(target=lambda: found.append(resolve("anthropic"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(provider) for provider in found}) == 1
    assert resolve("anthropic", base_url="http://127.0.0.1:10") is not found[0]


def test_a_scripted_provider_is_there_while_it_is_used() -> None:
    outer, inner = Scripted([]), Scripted([])
    with using(outer):
        with using(inner):
            assert resolve("scripted") is inner
        assert resolve("scripted") is outer
    with pytest.raises(UnknownProvider, match="using"):
        resolve("scripted")


@pytest.mark.parametrize("reference", ["", "gpt-4o", "openai:", ":gpt-4o", "acme:gpt-4o", "OpenAI:gpt-4o"])
def test_a_model_without_provider_is_refused(reference: str) -> None:
    with pytest.raises(UnknownProvider, match="PROVIDER:MODEL"):
        split_model(reference)


def test_a_model_is_split_at_the_first_colon() -> None:
    assert split_model("openai:ft:gpt-4o:acme") == ("openai", "ft:gpt-4o:acme")


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(UnknownProvider, match="acme"):
        resolve("acme")
    assert set(routing.PROVIDERS) == {"anthropic", "openai", "simulated", "scripted"}


def test_a_script_is_played_in_order_and_then_ends() -> None:
    request = ModelRequest(model="m", system="", messages=())
    failure = ModelFailure(FailureKind.TIMEOUT, "slow")
    provider = Scripted([say("two words"), failure, together(say("I look."), call("a", x=1), call("b"))])
    pieces: list[str] = []
    assert provider.complete(request, on_text=pieces.append).text == "two words" == "".join(pieces)
    with pytest.raises(ModelFailure, match="slow"):
        provider.complete(request)
    both = provider.complete(request)
    assert both.text == "I look."
    assert [(made.name, made.arguments) for made in both.tool_calls] == [("a", {"x": 1}), ("b", {})]
    assert len({made.id for made in both.tool_calls}) == 2
    with pytest.raises(ModelFailure, match="one more"):
        provider.complete(request)
    assert len(provider.requests) == 4


def test_a_script_can_be_a_function() -> None:
    provider = Scripted(lambda request: answer({"asked": request.model}))
    assert provider.complete(ModelRequest(model="m", system="", messages=())).parsed == {"asked": "m"}
