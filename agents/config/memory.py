"""What an agent keeps beyond a run."""

from pydantic import Field

from agents.config.strict import Seconds, Strict


class Memory(Strict):
    """Short-term notes of a run, and long-term memory over runs."""

    scratchpad: bool = False  # the tools write_note and read_notes
    long_term: bool = False
    recall: int = Field(3, ge=1, le=20)  # memories at most
    keep: Seconds = 90 * 86400  # then a memory is forgotten


class AnswerCache(Strict):
    """Answers to repeated questions, of the same agent version and subject."""

    keep: Seconds = 3600
    similarity: float = Field(
        0.97, ge=0.5, le=1
    )  # of meaning, above which a question is the same; 1: the same words
