"""Halves of surrogate pairs in JSON text."""

import json

import pytest

from traces.wellformed import mended


@pytest.mark.req("TOOL-3")
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"\udc00"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\uD83D\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud800"', "\\ud800"),
        (rb'"\\\ud800"', "\\\ufffd"),
        (b'"a\xed\xa0\x80b"', "a\ufffdb"),
        ('"\ud55c\u00e9"'.encode(), "\ud55c\u00e9"),
    ],
)
def test_halves_are_replaced_and_nothing_else(sent: bytes, read: str) -> None:
    assert json.loads(mended(sent)) == read
