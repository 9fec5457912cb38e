"""Layers: written, compressed, sent, and known from before."""
