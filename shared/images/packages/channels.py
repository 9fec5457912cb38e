"""Channels of conda packages: their URLs may hold the operator's credentials. Source: conda's documentation, channels."""

import re

_CREDENTIALS = re.compile(r"(://)(?:[^/\s@]*@)?([^/\s]+)(?:/t/[^/\s]+(?=/))?")


def without_credentials(text: str) -> str:
    """The text, its URLs without user, password and token (`https://host/t/<token>/channel`)."""
    return _CREDENTIALS.sub(r"\1\2", text)
