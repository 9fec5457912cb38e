"""A stand-in for a kube-apiserver."""

from tests.clusters.stand_in.server import StandIn

__all__ = ["StandIn"]
