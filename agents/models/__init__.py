"""What an agent is, and what a run has done: rows from which the work goes on after any crash."""

from agents.models.agent import Agent, AgentVersion
from agents.models.attachment import Attachment
from agents.models.batch import Batch, BatchRow, BatchStatus, RowState
from agents.models.call import ToolCall
from agents.models.conversation import Conversation, Message
from agents.models.credential import Credential
from agents.models.memory import CachedAnswer, Memory, MemoryKind, Note, StoredResult
from agents.models.precedent import Precedent
from agents.models.price import Price
from agents.models.rehearsal import Rehearsal, RehearsalKind
from agents.models.run import Run
from agents.models.source import PinnedTool, ToolSource
from agents.models.steering import Steering, SteeringKind
from agents.models.step import Step, StepKind
from agents.models.suite import Case, CaseResult, Suite, SuiteRun

__all__ = [
    "Agent",
    "AgentVersion",
    "Attachment",
    "Batch",
    "BatchRow",
    "BatchStatus",
    "CachedAnswer",
    "Case",
    "CaseResult",
    "Conversation",
    "Credential",
    "Memory",
    "MemoryKind",
    "Message",
    "Note",
    "PinnedTool",
    "Precedent",
    "Price",
    "Rehearsal",
    "RehearsalKind",
    "RowState",
    "Run",
    "Steering",
    "SteeringKind",
    "Step",
    "StepKind",
    "StoredResult",
    "Suite",
    "SuiteRun",
    "ToolCall",
    "ToolSource",
]
