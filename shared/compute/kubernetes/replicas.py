"""How many replicas a Deployment is applied with."""

from shared.domain.compute_resources import ClusterSettings
from shared.domain.service_settings import AutoScaler, ServiceSettings


def first_replicas(settings: ServiceSettings, running: int) -> int:
    """How many replicas a Deployment is applied with, where `running` are there: what an autoscaler has set stays."""
    scaler = settings.auto_scaler or AutoScaler()
    if not scaler.autoscale_enabled:
        return settings.num_replicas or 0
    return min(max(running, scaler.min_replicas or 0, 1), scaler.max_replicas or 1)


def is_scaled(settings: ServiceSettings) -> bool:
    """Whether an autoscaler sets the number."""
    return bool(settings.auto_scaler and settings.auto_scaler.autoscale_enabled)


def may_sleep(settings: ServiceSettings, cluster: ClusterSettings) -> bool:
    """Whether an autoscaler may leave it without any."""
    lowest = (settings.auto_scaler or AutoScaler()).min_replicas
    return is_scaled(settings) and lowest == 0 and cluster.scaling.from_zero
