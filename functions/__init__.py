"""Inbound triggers: each parses, calls one use case, and answers."""
