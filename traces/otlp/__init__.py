"""Spans of others come in by OTLP, ours go out by it, both under the names of the GenAI semantic conventions."""
