"""OpenAI's embeddings on the wire, made of words alone: texts that share words are near each other."""

import base64
import hashlib
import math
import re
import struct
from typing import Any

from agents.providers.tokens import estimate_tokens
from agents.simulator.conversation import BadRequest, require

DIMENSIONS = 1536
WORD = re.compile(r"\w+")


def embed(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to an embeddings request. Raises BadRequest."""
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest("'input' must be a string or a non-empty list of strings")
    dimensions = body.get("dimensions") or DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= 4096:
        raise BadRequest("'dimensions' must be a number from 1 to 4096")
    tokens = sum(estimate_tokens(text) for text in texts)
    data = []
    for index, text in enumerate(texts):
        values = vector(text, dimensions)
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode()
        embedding = packed if body.get("encoding_format") == "base64" else values
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": require(body, "model", str), "usage": usage}


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length 1 in which every word has a place and a sign of its own; all zero without words."""
    values = [0.0] * dimensions
    for word in WORD.findall(text.lower()):
        digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big")
        values[(place >> 1) % dimensions] += 1.0 if place & 1 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values] if length else values
