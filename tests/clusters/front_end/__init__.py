"""Front ends of the tests' cluster: Debian's nginx, and a smaller one for pods that are only played."""

from tests.clusters.front_end.nginx import Nginx

__all__ = ["Nginx"]
