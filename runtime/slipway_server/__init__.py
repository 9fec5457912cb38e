"""The server that answers inside every image: HTTP in front of a driver's `init()` and `run(body)`.

It stands alone: nothing of it is imported from the rest of Slipway, and nothing of it is in the driver's way.
"""
