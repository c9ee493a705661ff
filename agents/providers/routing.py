"""From a provider's name to the object that reaches it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import httpx2
from django.conf import settings

from agents.providers.base import FailureKind, ModelFailure, Provider

PROVIDERS = ("anthropic", "openai", "simulated", "scripted")
SIMULATOR_KEY = "simulated"
# The SDKs insist on a key; an endpoint without one is told this.
NO_KEY = "no-key"

_lock = threading.Lock()
_made: dict[tuple[str, str, str, bool], "Closable"] = {}
_scripted: list[Provider] = []


class Closable(Provider, Protocol):
    """A provider that holds connections."""

    def close(self) -> None: ...


class UnknownProvider(ValueError):
    """No provider has this name, or none is registered under it."""


def split_model(reference: str) -> tuple[str, str]:
    """`"anthropic:claude-sonnet-4-5"` as provider and model. Raises UnknownProvider where it has no such form."""
    provider, colon, model = reference.partition(":")
    if not colon or not model or provider not in PROVIDERS:
        raise UnknownProvider(
            f"{reference!r} is not a model: write PROVIDER:MODEL, where PROVIDER is one of {', '.join(PROVIDERS)}."
        )
    return provider, model


def resolve(provider_name: str, *, base_url: str | None = None) -> Provider:
    """The provider of this name, at `base_url` or where the settings say; made once and shared by all threads.

    Without a key and a base URL, the simulator stands in, and the provider says so by `simulated`. A configured
    key goes to the host that it was configured for and to no other: another `base_url` is called without it.
    Raises UnknownProvider, and ModelFailure where there is nothing to call, not even a simulator.
    """
    if provider_name == "scripted":
        if not _scripted:
            raise UnknownProvider("No scripted provider is registered: wrap the call in `using(provider)`.")
        return _scripted[-1]
    if provider_name not in PROVIDERS:
        raise UnknownProvider(f"There is no provider {provider_name!r}: use one of {', '.join(PROVIDERS)}.")
    return _shared(provider_name, *_address(provider_name, base_url))


def host_of(provider_name: str, *, base_url: str | None = None) -> str:
    """The host that `resolve` would reach, with its port; empty for answers that come from this process."""
    if provider_name == "scripted":
        return ""
    return httpx2.URL(_address(provider_name, base_url)[1] or _default_url(provider_name)).netloc.decode()


def preload() -> None:
    """Load the SDKs of the providers that can be reached, so that no run waits for that."""
    for name in ("anthropic", "openai"):
        if settings.SIMULATOR_URL or any(settings.MODEL_ENDPOINTS.get(name, {}).values()):
            _maker(name)


@contextmanager
def using(provider: Provider) -> Iterator[None]:
    """Register `provider` as "scripted" for all threads while the block runs."""
    with _lock:
        _scripted.append(provider)
    try:
        yield
    finally:
        with _lock:
            _scripted.remove(provider)


def close_all() -> None:
    """Close the connections of every provider made so far; `resolve` makes new ones."""
    with _lock:
        while _made:
            _made.popitem()[1].close()


def _address(provider_name: str, base_url: str | None) -> tuple[str, str, bool]:
    """Key, URL (empty: the provider's own) and whether it is the simulator. Raises ModelFailure."""
    configured = settings.MODEL_ENDPOINTS.get(provider_name, {})
    key, own_url = configured.get("api_key", ""), configured.get("base_url", "")
    if base_url and not _same_host(base_url, own_url or _default_url(provider_name)):
        key = ""
    url = base_url or own_url
    if key or url:
        return key or NO_KEY, url, provider_name == "simulated"
    if not settings.SIMULATOR_URL:
        names = (
            f"{provider_name.upper()}_API_KEY, {provider_name.upper()}_BASE_URL or GATEHOUSE_SIMULATOR_URL"
        )
        raise ModelFailure(
            FailureKind.INVALID_REQUEST, f"No endpoint is known for {provider_name}: set {names}."
        )
    suffix = "/v1" if provider_name == "openai" else ""
    return SIMULATOR_KEY, settings.SIMULATOR_URL + suffix, True


def _shared(name: str, key: str, url: str, simulated: bool) -> Provider:
    identity = (name, key, url, simulated)
    with _lock:
        if identity not in _made:
            _made[identity] = _maker(name)(api_key=key, base_url=url, simulated=simulated, name=name)
        return _made[identity]


def _maker(name: str) -> Callable[..., Closable]:
    # Imported when used: each SDK takes a good part of a second to load.
    if name == "openai":
        from agents.providers.openai import OpenAIProvider

        return OpenAIProvider
    from agents.providers.anthropic import AnthropicProvider

    return AnthropicProvider


def _default_url(name: str) -> str:
    return "https://api.openai.com" if name == "openai" else "https://api.anthropic.com"


def _same_host(one: str, other: str) -> bool:
    first, second = httpx2.URL(one), httpx2.URL(other)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)
