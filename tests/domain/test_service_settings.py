import pytest

from shared.domain.errors import InvalidRequest
from shared.domain.service_settings import AutoScaler, ContainerResourceReservation, ServiceSettings
from shared.domain.wire import validate


def test_a_create_with_neither_replicas_nor_autoscaler_is_autoscaled_from_1_to_10():
    scaler = ServiceSettings().settled().auto_scaler
    assert scaler == AutoScaler(
        autoscale_enabled=True, min_replicas=1, max_replicas=10, target_utilization=70, refresh_period_in_seconds=1
    )


def test_an_empty_autoscaler_without_replicas_is_enabled_too():
    assert ServiceSettings(auto_scaler=AutoScaler()).settled().auto_scaler.autoscale_enabled


def test_replicas_with_an_empty_autoscaler_are_counted_not_scaled():
    settled = ServiceSettings(num_replicas=3, auto_scaler=AutoScaler()).settled()
    assert settled.num_replicas == 3
    assert settled.auto_scaler.autoscale_enabled is False


def test_an_autoscaler_turned_off_alone_means_one_replica():
    assert ServiceSettings(auto_scaler=AutoScaler(autoscale_enabled=False)).settled().num_replicas == 1


def test_no_replicas_at_all_is_a_number_of_replicas():
    assert ServiceSettings(num_replicas=0).settled().num_replicas == 0


def test_replicas_and_an_enabled_autoscaler_together_are_refused():
    with pytest.raises(InvalidRequest, match="numReplicas: got 3"):
        ServiceSettings(num_replicas=3, auto_scaler=AutoScaler(autoscale_enabled=True)).settled()


def test_a_maximum_below_the_minimum_is_refused():
    with pytest.raises(InvalidRequest, match=r"autoScaler\.maxReplicas: got 2; accepts at least .* which is 5"):
        ServiceSettings(auto_scaler=AutoScaler(min_replicas=5, max_replicas=2)).settled()


def test_an_update_merges_nested_objects():
    before = ServiceSettings(
        num_replicas=2, container_resource_reservation=ContainerResourceReservation(cpu="1", memory="1G")
    ).settled()
    after = before.merged(ServiceSettings(container_resource_reservation=ContainerResourceReservation(cpu="2")))
    assert after.container_resource_reservation == ContainerResourceReservation(cpu="2", memory="1G")
    assert after.num_replicas == 2


def test_an_update_that_turns_the_autoscaler_on_takes_the_count_over():
    after = ServiceSettings(num_replicas=2).settled().merged(ServiceSettings(auto_scaler=AutoScaler(autoscale_enabled=True)))
    assert after.num_replicas is None
    assert after.auto_scaler.autoscale_enabled


def test_an_update_that_counts_the_replicas_of_an_autoscaled_service_is_refused_with_the_way_out():
    with pytest.raises(InvalidRequest, match=r"Send autoScaler\.autoscaleEnabled false with it"):
        ServiceSettings().settled().merged(ServiceSettings(num_replicas=3))


def test_an_empty_update_changes_nothing():
    before = ServiceSettings(num_replicas=2, app_insights_enabled=True).settled()
    assert before.merged(ServiceSettings()) == before


def test_variables_are_merged_one_by_one_and_an_empty_value_takes_one_away():
    settings = ServiceSettings(environment_variables={"MODE": "fast", "SLIPWAY_PROCESSES": "2", "GONE": "soon"})
    merged = settings.merged(ServiceSettings(environment_variables={"MODE": "slow", "GONE": ""}))
    assert merged.environment_variables == {"MODE": "slow", "SLIPWAY_PROCESSES": "2"}
    assert settings.merged(ServiceSettings()).environment_variables == settings.environment_variables


@pytest.mark.parametrize(
    ("reserved", "said"),
    [
        ({"memory": "6291456.5"}, r"memory: got '6291456.5'; accepts whole bytes"),
        ({"memory": "1.5"}, r"memory: got '1.5'; accepts at least 6Mi"),
        ({"memory": "1m"}, r"memory: got '1m'; accepts at least 6Mi"),
        ({"memory": "1000E"}, r"memory: got '1000E'; .*at most 1Pi"),
        ({"memory_limit": "12345678901m"}, r"memoryLimit: got '12345678901m'; accepts whole bytes"),
        ({"cpu": "1u"}, r"cpu: got '1u'; accepts at least 1m"),
        ({"cpu": "1Mi"}, r"cpu: got '1Mi'; .*at most 10k"),
        ({"cpu_limit": "0.0001"}, r"cpuLimit: got '0.0001'; accepts at least 1m"),
        ({"cpu": "2", "cpu_limit": "1500m"}, r"cpuLimit: got '1500m'; .*Reservation.cpu, which is 2"),
        ({"memory": "1G", "memory_limit": "512Mi"}, r"memoryLimit: got '512Mi'; .*Reservation.memory, which is 1G"),
    ],
)
def test_what_no_node_can_run_is_refused_by_the_name_of_its_field(reserved, said):
    settings = ServiceSettings(container_resource_reservation=ContainerResourceReservation(**reserved))
    with pytest.raises(InvalidRequest, match=f"^containerResourceReservation.{said}"):
        settings.settled()
    assert settings.filled(), "what was stored before is rendered as it is"


def test_a_limit_that_an_update_leaves_below_what_it_reserves_is_refused():
    limited = ServiceSettings(container_resource_reservation=ContainerResourceReservation(cpu="1", cpu_limit="2")).settled()
    with pytest.raises(InvalidRequest, match=r"cpuLimit: got '2'; accepts at least .*, which is 3"):
        limited.merged(ServiceSettings(container_resource_reservation=ContainerResourceReservation(cpu="3")))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"SLIPWAY_KEYS": "/nowhere"}, "environmentVariables: got .*SLIPWAY_PROCESSES"),
        ({"aml_model_dc_storage": "x"}, "names that begin with"),
        ({"a-b": "x"}, "letters, digits and '_'"),
        ({"A": "x" * 9000}, "8192 characters in all"),
        ({f"A{number}": "x" for number in range(65)}, "at most 64 variables"),
        ({"A": 7}, "environmentVariables.A: got 7"),
    ],
)
def test_variables_that_say_how_a_service_is_run_are_refused(variables, said):
    with pytest.raises(InvalidRequest, match=said):
        validate(ServiceSettings, {"environmentVariables": variables})
