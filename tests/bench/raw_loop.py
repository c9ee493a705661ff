"""The bound: the same work as a loop written by hand on psycopg, one commit a step and nothing beside it.

Like the engine, it claims the approved call before it acts, so that a crash leaves no doubt about what was tried.
No leases, no recovery, no policy, no spans, no events.
"""

import asyncio
from typing import Any

from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from tests.bench import work
from tests.bench.contender import serve

TABLES = """
CREATE TABLE run (id uuid PRIMARY KEY, status text NOT NULL);
CREATE TABLE step (run uuid, seq int, kind text NOT NULL, payload jsonb NOT NULL, PRIMARY KEY (run, seq))
"""
ADD_STEP = "INSERT INTO step (run, seq, kind, payload) VALUES (%s, %s, %s, %s)"
MOVE_WITH_STEP = f"WITH added AS ({ADD_STEP}) UPDATE run SET status = %s WHERE id = %s"
CONNECTIONS = 8


class RawLoop:
    """A contender; see `contender.Contender`."""

    def __init__(self) -> None:
        self.acted: dict[str, float] = {}

    async def open(self, dsn: str, *, first: bool) -> None:
        self.pool = AsyncConnectionPool(
            dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False, kwargs={"autocommit": True}
        )
        await self.pool.open(wait=True)
        if first:
            async with self.pool.connection() as connection:
                await connection.execute(TABLES)

    async def start(self, run: str, seconds: float) -> None:
        await self._write("INSERT INTO run (id, status) VALUES (%s, 'running')", run)
        for number in range(1, work.GATED):
            await self._turn(run, number, seconds)
            await self._call(run, number)
        await self._turn(run, work.GATED, seconds, status="waiting")

    async def decide(self, run: str, seconds: float) -> None:
        await self._write("UPDATE run SET status = 'approved' WHERE id = %s", run)
        async with self.pool.connection() as connection:
            rows = await connection.execute(
                "SELECT kind, payload FROM step WHERE run = %s ORDER BY seq", [run]
            )
            await rows.fetchall()
        await self._write("UPDATE run SET status = 'executing' WHERE id = %s AND status = 'approved'", run)
        self.acted[run] = work.clock()
        await self._call(run, work.GATED)
        await self._turn(run, work.TURNS, seconds, status="completed")

    async def _turn(self, run: str, turn: int, seconds: float, *, status: str = "") -> None:
        if seconds:
            await asyncio.sleep(seconds)
        step = (run, 2 * turn - 1, "model", Jsonb({"text": work.say(turn), "number": turn}))
        if status:
            await self._write(MOVE_WITH_STEP, *step, status, run)
        else:
            await self._write(ADD_STEP, *step)

    async def _call(self, run: str, number: int) -> None:
        await self._write(ADD_STEP, run, 2 * number, "tool", Jsonb(work.result(number)))

    async def _write(self, query: Any, *values: Any) -> None:
        async with self.pool.connection() as connection:
            await connection.execute(query, values)


if __name__ == "__main__":
    serve(RawLoop())
