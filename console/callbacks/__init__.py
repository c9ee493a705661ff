"""Callbacks: programs that asked for approval are told what became of it, signed by Standard Webhooks."""
