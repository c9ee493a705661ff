"""Codes of authenticators, and recovery codes."""

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from approvals.stepup import codes

NOW = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)
SECRET = "JBSWY3DPEHPK3PXP" * 2


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize(("late", "counts"), [(0, True), (30, True), (-30, True), (60, False), (-60, False)])
def test_a_code_counts_for_one_step_either_way(late: int, counts: bool) -> None:
    code = pyotp.TOTP(SECRET).at(NOW + timedelta(seconds=late))
    step = codes.step_of(SECRET, code, now=NOW)
    assert step == ((int(NOW.timestamp()) + late) // 30 if counts else None)


@pytest.mark.req("OPS-3")
@pytest.mark.parametrize("code", ["", "12345", "abcdef", "\uff11" * 6, "0" * 64])
def test_what_is_no_code_never_counts(code: str) -> None:
    assert codes.step_of(SECRET, code, now=NOW) is None


@pytest.mark.req("OPS-3")
def test_recovery_codes_differ_and_are_known_however_they_are_typed() -> None:
    made = codes.new_recovery_codes()
    assert len(set(made)) == codes.RECOVERY_CODES
    kept = [(place, codes.digest_of_code(code)) for place, code in enumerate(made)]
    assert codes.matching(f" {made[3].lower().replace('-', ' ')} ", kept) == 3
    assert codes.matching("AAAA-AAAA-AAAA-AAAA", kept) is None


@pytest.mark.req("OPS-3")
def test_wrong_codes_stop_the_guessing_for_longer_each_time() -> None:
    blocks = {count: codes.block_after(count) for count in range(1, 16)}
    assert [count for count, block in blocks.items() if block] == [5, 10, 15]
    assert blocks[5] == timedelta(minutes=5)
    assert blocks[10] == timedelta(minutes=10)
    assert codes.block_after(5000) == timedelta(hours=24)
