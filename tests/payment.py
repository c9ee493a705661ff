"""The script of one payment: the same answer to the same conversation, in whichever process and however often."""

from agents.providers.base import ModelRequest, ModelResponse
from agents.providers.scripted import answer, call, say, together


def play(request: ModelRequest) -> ModelResponse:
    """Plan, pay 40 to acme by the agent's only tool, say so, and find it done."""
    match request.metadata["role"]:
        case "planner":
            step = {"title": "Pay.", "categories": ["mutation"]}
            return answer({"goal": "Pay.", "steps": [step], "needs_clarification": None})
        case "observer":
            return answer({"verdict": "complete", "confidence": 0.9, "summary": "Paid.", "feedback": ""})
    if any(message.role == "tool" for message in request.messages):
        return say("Paid.")
    return together(say("We owe 40."), call(request.tools[0].name, account="acme", amount=40))
