"""Gives the OpenAI Agents SDK snippet a scripted model, which pays once per amount; prints what the tool answered."""

import asyncio
import json
import sys

import agents
from agents import Model, ModelResponse, Usage, set_tracing_disabled
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

import snippet


class Scripted(Model):
    """Proposes one payment, then repeats what came of it."""

    def __init__(self, amount):
        self.amount = amount

    async def get_response(self, system_instructions, input, model_settings, tools, *rest, **options):
        assert {"pay", "get_approval"} <= {tool.name for tool in tools}
        outputs = [item["output"] for item in input if isinstance(item, dict) and "output" in item]
        if outputs:
            said = outputs[-1] if isinstance(outputs[-1], str) else json.dumps(outputs[-1])
            text = ResponseOutputText(text=said, type="output_text", annotations=[])
            item = ResponseOutputMessage(
                id="message-1", content=[text], role="assistant", status="completed", type="message"
            )
        else:
            arguments = json.dumps({"account": "acme", "amount": self.amount})
            item = ResponseFunctionToolCall(
                call_id="call-1", name="pay", arguments=arguments, type="function_call"
            )
        return ModelResponse(output=[item], usage=Usage(), response_id=None)

    def stream_response(self, *arguments, **options):
        raise NotImplementedError


assert hasattr(agents, "Runner"), f"{agents.__file__} is not the SDK"
set_tracing_disabled(True)
for amount in json.loads(sys.argv[1]):
    print(asyncio.run(snippet.work("Pay acme.", Scripted(amount))), flush=True)
