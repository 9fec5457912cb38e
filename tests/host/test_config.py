"""host.json and app settings."""

import json
import os
from datetime import timedelta

import pytest

from local.host import config
from local.host.refusal import Refused


def read(folder, **sections):
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **sections}))
    return config.read(folder)


def test_what_host_json_leaves_out_has_the_real_hosts_defaults(tmp_path):
    settings = read(tmp_path)
    assert settings.route_prefix == "api"
    assert settings.queues == config.QueueOptions(16, 8 * os.cpu_count(), timedelta(seconds=2), timedelta(0), 5, base64=True)


def test_host_json_is_taken_at_its_word(tmp_path):
    queues = {
        "batchSize": 4,
        "newBatchThreshold": 0,
        "maxPollingInterval": "00:00:00.2500000",
        "visibilityTimeout": "1.00:01:30",
        "maxDequeueCount": 2,
        "messageEncoding": "none",
    }
    settings = read(tmp_path, extensions={"http": {"routePrefix": "v1/api"}, "queues": queues})
    delay = timedelta(days=1, minutes=1, seconds=30)
    assert settings == config.HostConfig(
        "v1/api", config.QueueOptions(4, 0, timedelta(milliseconds=250), delay, 2, base64=False)
    )


def test_the_threshold_follows_the_batch_size(tmp_path):
    assert read(tmp_path, extensions={"queues": {"batchSize": 1}}).queues.new_batch_threshold == 0


@pytest.mark.parametrize(
    ("queues", "reason"),
    [
        ({"batchSize": 33}, "batchSize: got 33; accepts a whole number from 1 to 32"),
        ({"batchSize": "16"}, "batchSize: got '16'"),
        ({"maxDequeueCount": True}, "maxDequeueCount: got True"),
        ({"visibilityTimeout": "30"}, "visibilityTimeout: got '30'; accepts a time as hh:mm:ss"),
        ({"maxPollingInterval": "00:00:00"}, "maxPollingInterval: got '00:00:00'; accepts at least 0:00:00.100000"),
        ({"messageEncoding": "utf-16"}, "messageEncoding: got 'utf-16'; accepts base64 and none"),
        ([], "'queues' must be an object"),
    ],
)
def test_what_is_impossible_is_refused_by_name(tmp_path, queues, reason):
    with pytest.raises(Refused, match=reason):
        read(tmp_path, extensions={"queues": queues})


def test_a_host_json_that_is_absent_or_of_another_version_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"host\.json: cannot be read"):
        config.read(tmp_path)
    with pytest.raises(Refused, match=r'"version" must be "2\.0"'):
        read(tmp_path, version="1.0")


def test_settings_are_put_in_wherever_they_are_named():
    assert config.resolved("a-%X%-%Y%", {"X": "1", "Y": "2"}, "f") == "a-1-2"


def test_a_connection_is_found_with_its_prefix_first():
    settings = {"AzureWebJobsStorage": "prefixed", "Storage": "plain", "Other": "other"}
    assert [config.connection_string(name, settings, "f") for name in ("Storage", "Other")] == ["prefixed", "other"]
