"""Telling people: what happened is found in the events, kept as rows, and sent by a worker. Never what an agent wrote."""
