"""What reaches the logs."""

import pytest
import structlog

from console import logs

TOKEN = "gth_" + "a" * 43


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
