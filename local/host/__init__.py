"""A local Functions host: HTTP, queue and timer triggers over the published Python worker runtime.

It stands in for the .NET host where that one cannot be had, and mirrors what that one enforces.
"""
