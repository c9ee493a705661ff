"""Secrets don't reach the trace, and nothing that Postgres refuses does."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.redaction import REDACTED, redact
from traces.storable import storable


@pytest.mark.req("OPS-4", "TRC-8")
@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefghijklmnop",
        "ghp_abcdefghijklmnopqrstuvwxyz",
        "AKIAABCDEFGHIJKLMNOP",
        "xoxb-1234567890-abc",
        "gth_" + "a" * 43,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nDEK-Info: A-1\n--MIIE-----END CERTIFICATE-----\n-----END PRIVATE KEY-----",
    ],
)
def test_a_secret_is_known_by_its_shape(secret: str) -> None:
    assert secret not in json.dumps(redact({"note": [f"the key is {secret}, keep it"]}))


@pytest.mark.req("OPS-4")
def test_many_keys_that_do_not_end_take_no_longer_than_other_text() -> None:
    begun = "-----BEGIN PRIVATE KEY-----MIIE"
    start = time.process_time()
    assert "MIIE" not in redact(begun * 20_000 + "-----END PRIVATE KEY-----")
    redact(begun * 20_000)
    assert time.process_time() - start < 5  # minutes, where each looks for an end in all the rest


@pytest.mark.req("OPS-4")
@pytest.mark.parametrize("name", ["password", "api_key", "API-Key", "Authorization", "client_secret"])
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert redact({"headers": {name: "hunter2"}}) == {"headers": {name: REDACTED}}


@given(
    value=st.recursive(
        st.none() | st.floats() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.text(), v),
        max_leaves=9,
    )
)
def test_what_is_storable_is_json_that_postgres_takes(value: Any) -> None:
    text = json.dumps(storable(value), allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text
    text.encode("utf-8")
    assert storable(json.loads(text)) == json.loads(text)
