"""What reaches the logs."""

import logging
from collections.abc import Callable

import psycopg
import pydantic
import pytest
import structlog
from django.db import IntegrityError, OperationalError

from console import logs

TOKEN = "gth_" + "a" * 43
MAIL = "eve@example.com"


@pytest.mark.req("OPS-4")
def test_a_traceback_shows_no_variables_and_a_line_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    log = structlog.get_logger("test")

    def fail(header: str) -> None:
        raise ValueError("broken")

    try:
        fail(f"Bearer {TOKEN}")
    except ValueError:
        log.exception("it.failed", note=f"came with {TOKEN}")
    output = capsys.readouterr().out
    assert "ValueError: broken" in output
    assert "it.failed" in output
    assert TOKEN not in output


class _Order(pydantic.BaseModel):
    number: int


def _fail_to_store() -> None:
    try:
        raise psycopg.errors.UniqueViolation(f"duplicate key\nDETAIL:  Key (mail)=({MAIL}) exists.")
    except psycopg.Error as error:
        raise IntegrityError(*error.args) from error


def _fail_in_a_group() -> None:
    try:
        _fail_to_store()
    except IntegrityError as error:
        raise ExceptionGroup("several", [error]) from None


def _fail_to_read() -> None:
    try:
        _Order.model_validate({"number": MAIL})
    except pydantic.ValidationError as error:
        raise RuntimeError(f"no order: {error}") from error


@pytest.mark.req("OPS-4")
@pytest.mark.parametrize("fail", [_fail_to_store, _fail_in_a_group, _fail_to_read])
def test_what_an_error_quotes_is_in_no_log(
    fail: Callable[[], None], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logs.configure()
    try:
        fail()
    except Exception as error:
        structlog.get_logger("test").exception("it.failed", error=error)
        logging.getLogger("celery").exception("Task raised unexpected: %r", error)
    for output in (capsys.readouterr().out, caplog.text):
        assert "what it says is left out" in output
        assert fail.__name__ in output
        assert MAIL not in output


@pytest.mark.req("OPS-4")
def test_why_no_database_answers_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger("test").error("it.failed", exc_info=OperationalError("connection refused"))
    assert "connection refused" in capsys.readouterr().out
