"""An OpenAI Agents SDK agent that acts through the gateway. pip install openai-agents"""

from agents import Agent, Runner
from agents.mcp import MCPServerStreamableHttp


async def work(task, model=None):
    """What the agent says in the end."""
    async with MCPServerStreamableHttp(
        params={
            "url": "http://127.0.0.1:8000/mcp",
            "headers": {"Authorization": "Bearer gth_...", "Prefer": "wait=600"},
            "timeout": 660,
        },
        client_session_timeout_seconds=660,  # a little more than a call waits for a person
    ) as gatehouse:
        agent = Agent(name="Desk", instructions="Help.", model=model, mcp_servers=[gatehouse])
        return (await Runner.run(agent, task)).final_output
