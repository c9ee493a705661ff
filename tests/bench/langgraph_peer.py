"""The same work on LangGraph with its Postgres saver, each step durable before the next (`durability="sync"`).

`python -m tests.bench --langgraph PYTHON` runs it with an interpreter that has langgraph,
langgraph-checkpoint-postgres and psycopg[binary,pool].
"""
# mypy: disable-error-code="import-not-found"

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from tests.bench import work
from tests.bench.contender import serve

CONNECTIONS = 8


class State(TypedDict):
    """What the graph keeps of a run."""

    run: str
    seconds: float
    turns: int
    messages: Annotated[list[dict[str, Any]], operator.add]


class LangGraph:
    """A contender; see `contender.Contender`."""

    def __init__(self) -> None:
        self.acted: dict[str, float] = {}

    async def open(self, dsn: str, *, first: bool) -> None:
        # As the saver's documentation wants its connections.
        as_wanted = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self.pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False, kwargs=as_wanted
        )
        await self.pool.open(wait=True)
        saver = AsyncPostgresSaver(self.pool)
        if first:
            await saver.setup()
        graph = StateGraph(State)
        graph.add_node("model", self._model)
        graph.add_node("tool", self._tool)
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", lambda state: "tool" if state["turns"] < work.TURNS else END)
        graph.add_edge("tool", "model")
        self.graph = graph.compile(checkpointer=saver)

    async def start(self, run: str, seconds: float) -> None:
        await self._invoke(run, State(run=run, seconds=seconds, turns=0, messages=[]))

    async def decide(self, run: str, seconds: float) -> None:
        await self._invoke(run, Command(resume="approve"))

    async def _invoke(self, run: str, given: Any) -> None:
        thread = {"configurable": {"thread_id": run}}
        await self.graph.ainvoke(given, thread, durability="sync")  # type: ignore[call-overload]

    async def _model(self, state: State) -> dict[str, Any]:
        if state["seconds"]:
            await asyncio.sleep(state["seconds"])
        turn = state["turns"] + 1
        message: dict[str, Any] = {"role": "assistant", "text": work.say(turn)}
        if turn < work.TURNS:
            message["call"] = {"id": f"call-{turn}", "name": "note", "arguments": {"number": turn}}
        return {"turns": turn, "messages": [message]}

    async def _tool(self, state: State) -> dict[str, Any]:
        proposed = state["messages"][-1]["call"]
        number = proposed["arguments"]["number"]
        if number == work.GATED:
            interrupt({"approve": proposed})
            self.acted[state["run"]] = work.clock()
        answer = {"role": "tool", "call_id": proposed["id"], "data": work.result(number)}
        return {"messages": [answer]}


if __name__ == "__main__":
    serve(LangGraph())
