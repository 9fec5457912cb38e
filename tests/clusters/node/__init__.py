"""A node of the tests' own: it runs the pods of the stand-in for what they say, from images in a registry.

Real: the image, its unpacking by digest (skopeo, umoci), the container (bubblewrap: a read-only root, the image's user, its
own processes as pid 1), volumes, probes, signals and times. Not real: no cgroups, so neither limits nor out-of-memory; no
network of its own, so a pod's address is one of the loopback's, which its container is told by SLIPWAY_HOST.
"""

from tests.clusters.node.kubelet import Node

__all__ = ["Node"]
