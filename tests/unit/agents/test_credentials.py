"""Secrets at rest, and out of what comes back."""

import base64
import json
from typing import Any

import pytest

from agents.credentials import Secret, mask
from agents.exceptions import BadConfig
from agents.models import Credential
from agents.safekeeping import check
from traces import sealing

pytestmark = pytest.mark.req("OPS-4")

NEW, OLD = "a new key that nobody guesses, of 50 characters or so", "the old key that nobody guesses either"


def test_what_is_sealed_is_not_readable_and_comes_back_the_same() -> None:
    for secret in ("s3cret-of-mine", "ö€𝄞", "x" * 10_000, " two lines\nof it "):
        sealed = sealing.seal(secret)
        assert secret.encode() not in sealed
        assert secret.encode() not in base64.urlsafe_b64decode(sealed)
        assert sealing.unseal(sealed) == secret
        assert sealing.seal(secret) != sealed


def test_a_replaced_key_still_reads_and_no_longer_seals(settings: Any) -> None:
    settings.SECRET_KEY = OLD
    sealed = sealing.seal("s3cret")
    settings.SECRET_KEY = NEW
    with pytest.raises(sealing.Unreadable, match="SECRET_KEY_FALLBACKS"):
        sealing.unseal(sealed)
    assert not sealing.is_readable(sealed)
    settings.SECRET_KEY_FALLBACKS = [OLD]
    assert sealing.unseal(sealed) == "s3cret"
    assert (sealing.is_readable(sealed), sealing.is_current(sealed)) == (True, False)
    again = sealing.reseal(sealed)
    settings.SECRET_KEY_FALLBACKS = []
    assert sealing.unseal(again) == "s3cret"
    assert sealing.is_current(again)


@pytest.mark.parametrize("broken", [b"", b"gAAAA", b"\x00\xff", "ö".encode()])
def test_what_was_damaged_is_unreadable_and_nothing_worse(broken: bytes) -> None:
    with pytest.raises(sealing.Unreadable):
        sealing.unseal(broken)


SHOP = Secret("shop", "bearer", "", "tok-12345678")
LOGIN = Secret("login", "basic", "", "ana:pa55word")


@pytest.mark.parametrize(
    "value",
    [
        "Bearer tok-12345678",
        {"tok-12345678": 1},
        {"headers": [{"Authorization": "Bearer tok-12345678"}]},
        base64.b64encode(b"tok-12345678").decode(),
        ["ana:pa55word", "pa55word", base64.b64encode(b"ana:pa55word").decode()],
        ("tok-12345678",),
    ],
)
def test_a_credential_that_comes_back_is_masked(value: Any) -> None:
    shown = str(mask(value, [SHOP, LOGIN]))
    for part in ("tok-1234", "pa55word", "dG9rLTEyMzQ1Njc4", "YW5hOnBhNTV3b3Jk"):
        assert part not in shown
    assert "[credential " in shown


@pytest.mark.parametrize("escaped", [json.dumps, lambda text: json.dumps(text).replace("/", "\\/")])
def test_a_credential_that_comes_back_within_quoted_json_is_masked(escaped: Any) -> None:
    odd = Secret("odd", "bearer", "", 'tok"12/345\\678')
    assert mask(f"[{escaped(odd.value)}]", [odd]) == '["[credential odd]"]'


def test_what_is_no_credential_stays_as_it_is() -> None:
    value = {"name": "ana", "count": 3, "none": None, "list": [1.5, True, "token"]}
    assert mask(value, [SHOP, LOGIN]) == value
    assert "tok-12345678" not in repr(SHOP)


ROW = Credential(name="shop", kind="bearer", parameter="", hosts=["api.shop.com", "eu.shop.com"])
GOOD = {"name": "shop", "kind": "bearer", "parameter": "", "hosts": ["api.shop.com"], "secret": "tok"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Shop"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"kind": "cookie"}, "kind"),
        ({"kind": "header"}, "parameter"),
        ({"kind": "header", "parameter": "X-Key\r\nX"}, "parameter"),
        ({"parameter": "X-Key"}, "parameter"),
        ({"hosts": ["https://api.shop.com"]}, "hosts"),
        ({"hosts": ["api.shop.com/v1"]}, "hosts"),
        ({"secret": ""}, "secret"),
        ({"secret": None}, "secret"),
        ({"secret": "a\r\nX-Admin: 1"}, "secret"),
        ({"secret": "tök"}, "secret"),
        ({"kind": "basic"}, "secret"),
        ({"kind": "value", "secret": "a\x00b"}, "secret"),
    ],
)
def test_what_no_credential_may_be_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(BadConfig) as refused:
        check(None, **(GOOD | change))
    assert refused.value.errors[0]["path"] == [field]
    assert "tök" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "is_fine"),
    [
        ({}, True),
        ({"hosts": ["api.shop.com", "eu.shop.com"]}, True),
        ({"hosts": ["api.shop.com", "evil.com"]}, False),
        ({"hosts": []}, False),
        ({"kind": "query", "parameter": "key"}, False),
        ({"hosts": ["evil.com"], "secret": "another"}, True),
    ],
)
def test_who_does_not_know_the_secret_sends_it_nowhere_else(change: dict[str, Any], is_fine: bool) -> None:
    values = GOOD | {"secret": None} | change
    if is_fine:
        check(ROW, **values)
        return
    with pytest.raises(BadConfig, match="anew"):
        check(ROW, **values)
