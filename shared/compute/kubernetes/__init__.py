"""Compute on a Kubernetes cluster: objects rendered from a service, applied, and looked at until ready."""
