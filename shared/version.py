"""Slipway's own version, which what it builds says it was built by."""

VERSION = "0.1.0"
