"""Sealing while others write: nothing is skipped, nothing is sealed twice, nobody waits for the sealer."""

import threading
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from tests.racing import Race, at_once
from traces.audit import keys, sealer
from traces.audit.export import stored_seals
from traces.audit.sealer import seal_due, unsealed_count
from traces.audit.stored import verify_stored
from traces.models import Event, Seal
from traces.recorder import record

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.req("APR-9")]


def note(name: str = "halt.pressed") -> None:
    record(name, actor="user:ana")


class Writer:
    """Somebody who has written an event and has not committed yet."""

    def __init__(self) -> None:
        self.written, self._may_end, self.fails = threading.Event(), threading.Event(), False
        self.race = Race(self._write)
        assert self.written.wait(30)

    def _write(self) -> None:
        with transaction.atomic():
            note("halt.lifted")
            self.written.set()
            assert self._may_end.wait(30)
            if self.fails:
                raise RuntimeError("rolled back")

    def end(self, *, fail: bool = False) -> None:
        self.fails = fail
        self._may_end.set()
        self.race.outcome()


@pytest.mark.parametrize("sql", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize(("table", "column"), [("traces_event", "id"), ("traces_seal", "number")])
def test_the_database_refuses_to_change_what_was_written(sql: str, table: str, column: str) -> None:
    note()
    seal_due()
    with pytest.raises(DatabaseError, match="is history"), connection.cursor() as cursor:
        cursor.execute(sql.format(table, column, column))
    assert verify_stored().events == 1


def test_what_is_committed_late_is_sealed_later_and_in_its_place() -> None:
    note()
    writer = Writer()
    note()  # with a higher id, and visible before
    assert sealer.horizon_now(patience=0.1) == 0
    sealing = Race(seal_due)
    note()  # nobody waits for the sealer
    assert not sealing.is_over
    assert not Seal.objects.exists()
    writer.end()
    assert sealing.outcome() >= 3
    seal_due()
    assert verify_stored().events == Event.objects.count() == 4
    names = [event.name for _, events in stored_seals() for event in events]
    assert names == ["halt.pressed", "halt.lifted", "halt.pressed", "halt.pressed"]


def test_what_is_rolled_back_leaves_a_gap_and_no_trace() -> None:
    note()
    writer = Writer()
    note()
    sealing = Race(seal_due)
    writer.end(fail=True)
    assert sealing.outcome() == 2
    assert verify_stored().events == 2


def test_somebody_who_never_commits_puts_sealing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer, "WRITERS_SECONDS", 0.1)
    monkeypatch.setattr(sealer.horizon_now, "__kwdefaults__", {"patience": 0.1})
    note()
    assert seal_due() == 1
    writer = Writer()
    note()
    assert seal_due() == 0
    assert unsealed_count() == 1
    writer.end()
    assert seal_due() == 2
    assert verify_stored().seals == 2


def test_of_sealers_at_once_each_event_gets_one_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer, "BATCH", 7)
    for _ in range(40):
        note()
    counts = at_once(*[seal_due] * 8)
    seal_due()
    assert all(isinstance(count, int) for count in counts), counts
    report = verify_stored()
    assert (report.events, Seal.objects.count()) == (40, report.seals)
    assert len(keys.public_keys()) == 1


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("where", ["before", "connection", "after"])
def test_a_sealer_that_dies_mid_batch_leaves_nothing_half(
    monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(sealer, "BATCH", 5)
    for _ in range(20):
        note()
    saved = Seal.save
    done: list[int] = []

    def save(self: Seal, **kwargs: Any) -> None:
        if where == "after":
            saved(self, **kwargs)
        if len(done) == 2:
            if where == "connection":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            raise Crash
        done.append(self.number)
        if where != "after":
            saved(self, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Seal, "save", save)
        outcome = Race(seal_due).outcome()
    assert isinstance(outcome, Crash | DatabaseError), outcome
    assert verify_stored().seals == 2
    assert seal_due() == 10
    assert (verify_stored().events, verify_stored().seals) == (20, 4)


def test_a_killed_sealers_lock_is_free_again() -> None:
    note()
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [sealer.SEALER_LOCK])
            held.set()
            free.wait(30)
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    race = Race(hold)
    assert held.wait(30)
    assert seal_due() == 0
    free.set()
    assert isinstance(race.outcome(), DatabaseError)
    assert seal_due() == 1
