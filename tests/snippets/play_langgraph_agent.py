"""Gives the LangGraph snippet a scripted model, which calls its tool once per amount; prints what the tool answered."""

import json
import sys

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

import snippet


class Scripted(BaseChatModel):
    """Proposes one payment, then repeats what came of it."""

    amount: float

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **options):
        assert [tool.name for tool in tools] == ["wire_money"]
        return self

    def _generate(self, messages, stop=None, run_manager=None, **options):
        if isinstance(messages[-1], ToolMessage):
            answer = AIMessage(messages[-1].content)
        else:
            arguments = {"account": "acme", "amount": self.amount}
            answer = AIMessage("", tool_calls=[{"name": "wire_money", "args": arguments, "id": "call-1"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])


for amount in json.loads(sys.argv[1]):
    end = snippet.build(Scripted(amount=amount)).invoke({"messages": [("user", "Pay acme.")]})
    print(end["messages"][-1].content, flush=True)
