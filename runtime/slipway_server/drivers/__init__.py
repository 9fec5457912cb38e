"""Drivers: how they are loaded and described, what they are given, and what becomes of what they return."""
