"""One machine: the local Functions host, Azurite, the compute node, the demo."""
