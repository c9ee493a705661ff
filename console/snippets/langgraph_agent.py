"""A LangGraph agent whose tool waits for a person. pip install langgraph httpx"""

import functools

import httpx
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

# Gatehouse: from here
URL, TOKEN = "http://127.0.0.1:8000/api/v1", "gth_..."
gatehouse = httpx.Client(base_url=URL, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=90)


def needs_approval(function):
    @functools.wraps(function)
    def guarded(**arguments):
        wanted = {"tool": function.__name__, "arguments": arguments}
        asked = gatehouse.post("/approvals", json=wanted).raise_for_status().json()
        while asked["status"] == "pending":
            asked = gatehouse.get(f"/approvals/{asked['id']}?wait=60").raise_for_status().json()
        if asked["status"] != "approved":
            return {"not_done": asked["status"], "decision": asked["decision"]}
        return {"done_with": asked["arguments"], "result": function(**asked["arguments"])}

    return guarded


# Gatehouse: to here


@tool
@needs_approval
def wire_money(account: str, amount: float) -> str:
    """Send money. Nobody can take it back."""
    return f"{amount} wired to {account}"


def build(model):
    """The usual graph, around any chat model that knows tools."""
    model = model.bind_tools([wire_money])
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda state: {"messages": model.invoke(state["messages"])})
    graph.add_node("tools", ToolNode([wire_money]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()
