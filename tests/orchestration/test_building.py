import errno
import json
import os
from datetime import timedelta

import pytest

from functions.answers import operation_status
from shared.domain.building import TAG_TAKEN, NotYet
from shared.domain.errors import BuildFailed, InvalidRequest, ServiceError, Unavailable
from shared.domain.operations import State
from tests.twins import ACCOUNT, World


async def test_a_build_ends_with_an_image_that_says_where_it_is():
    world = World()
    operation = await world.building(await world.manifest(await world.model()))
    assert operation.state is State.NOT_STARTED
    await world.settle()
    image = await world.images.get(ACCOUNT, operation.resource_id)
    assert (await world.operation(operation)).state is State.SUCCEEDED
    assert (image.creation_state, image.image_location) == (State.SUCCEEDED, "oci:/images:digits:1")
    assert image.image_digest
    assert [layer.title for layer in image.layers] == ["dependencies", "map", "digits"]
    service = await world.services.get(ACCOUNT, await world.serving(image.id))
    assert service.image.id == image.id
    assert service.image.layers is None


def disk_full(number: int = errno.ENOSPC) -> OSError:
    return OSError(number, os.strerror(number))


def taken_for(error: ServiceError, cause: OSError) -> ServiceError:
    """It, raised from that."""
    error.__cause__ = cause
    return error


FULL = [
    disk_full(),
    disk_full(errno.EDQUOT),
    taken_for(BuildFailed("model.tar.gz cannot be unpacked", code="BadArchive"), disk_full()),
    taken_for(Unavailable("the registry is away"), disk_full()),
]


@pytest.mark.parametrize("error", FULL)
async def test_a_full_disk_is_tried_again_whatever_it_was_taken_for(error):
    world = World()
    world.builder.failures = [error] * 2
    operation = await world.building(await world.manifest())
    await world.settle()
    assert (await world.operation(operation)).state is State.SUCCEEDED


@pytest.mark.parametrize("error", FULL)
async def test_a_disk_that_stays_full_is_507_and_not_the_callers_fault(error):
    world = World()
    world.builder.failures = [error] * 100
    operation = await world.building(await world.manifest())
    await world.settle()
    ended = (await world.operation(operation)).error
    assert (ended.code, ended.status_code) == ("InsufficientStorage", 507)
    assert "no room left" in ended.message


async def test_the_log_of_a_build_can_be_read_while_it_runs():
    world = World()
    operation = await world.building(await world.manifest(await world.model()))
    world.builder.before_content = Unavailable("the model's host is away")
    await world.engine.run(ACCOUNT, operation.id)
    assert "installed nothing" in world.logs.text(ACCOUNT, operation.resource_id)
    assert (await world.operation(operation)).state is State.RUNNING
    assert (await world.images.get(ACCOUNT, operation.resource_id)).creation_state is State.RUNNING


async def test_a_failure_that_can_heal_is_tried_again_later():
    world = World()
    world.builder.failures = [Unavailable("registry is away"), Unavailable("registry is away")]
    operation = await world.building(await world.manifest())
    began = world.clock.now()
    await world.settle()
    assert (await world.operation(operation)).state is State.SUCCEEDED
    assert 1.4 <= (world.clock.now() - began).total_seconds() <= 4


async def test_a_build_that_is_the_manifests_fault_fails_at_once_and_says_where_the_log_is():
    world = World()
    world.builder.failures = [BuildFailed("liac-arff has no wheel", code="NoWheel")]
    operation = await world.building(await world.manifest())
    await world.settle()
    error = (await world.operation(operation)).error
    image = await world.images.get(ACCOUNT, operation.resource_id)
    assert (error.code, error.status_code, error.message) == ("NoWheel", 400, "liac-arff has no wheel")
    assert error.details[0].message == f"images/{image.id}/logs"
    assert (image.creation_state, image.error) == (State.FAILED, error)
    assert "liac-arff has no wheel" in world.logs.text(ACCOUNT, operation.resource_id)


async def test_tries_come_to_an_end_and_the_last_error_is_the_operations():
    world = World()
    world.builder.failures = [Unavailable(f"away {attempt}") for attempt in range(100)]
    operation = await world.building(await world.manifest())
    await world.settle()
    ended = await world.operation(operation)
    assert (ended.state, ended.error.message) == (State.FAILED, "away 7")
    assert [warning.message.startswith("away ") for warning in ended.warnings] == [True]


async def test_a_cancelled_build_that_leaves_something_is_cancelled_with_a_warning():
    world = World()
    operation = await world.building(await world.manifest())
    await world.operations.cancel(ACCOUNT, operation.id)
    world.builder.failures = [BuildFailed("the registry does not permit it", code="RegistryDenied")]
    await world.settle()
    ended = await world.operation(operation)
    image = await world.images.get(ACCOUNT, operation.resource_id)
    assert (ended.state, ended.error, image.creation_state) == (State.CANCELLED, None, State.CANCELLED)
    assert [(one.code, one.message) for one in ended.warnings] == [("RegistryDenied", "the registry does not permit it")]
    assert "not removed: the registry does not permit it" in world.logs.text(ACCOUNT, image.id)


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_build_that_has_put_no_tag_takes_none_back(cancelled):
    world = World()
    world.builder.published = {"oci:/images:digits:1": 1}  # somebody else's
    operation = await world.building(await world.manifest())
    if cancelled:
        await world.operations.cancel(ACCOUNT, operation.id)
    else:
        world.builder.failures = [BuildFailed("no wheel")]
    await world.settle()
    assert (await world.operation(operation)).state is (State.CANCELLED if cancelled else State.FAILED)
    assert world.builder.published == {"oci:/images:digits:1": 1}


async def test_a_build_that_finds_its_own_image_under_the_tag_adopts_it_and_leaves_it_there():
    world = World()
    world.builder.published = {"oci:/images:digits:1": 1}
    world.builder.there = {1}
    operation = await world.building(await world.manifest())
    publish = world.builder.publish

    async def broken(source, layers, log):
        await publish(source, layers, log)
        raise BuildFailed("the registry breaks")

    world.builder.publish = broken
    await world.settle()
    assert (await world.operation(operation)).state is State.FAILED
    assert "oci:/images:digits:1" in world.builder.published


async def test_an_image_skips_the_versions_that_are_taken_where_images_go():
    world = World()
    world.builder.taken = {1, 2, 4}
    manifest = await world.manifest()
    operations = [await world.building(manifest) for _ in range(2)]
    await world.settle()
    images = [await world.images.get(ACCOUNT, operation.resource_id) for operation in operations]
    assert [(await world.operation(one)).state for one in operations] == [State.SUCCEEDED] * 2
    assert sorted((image.version, image.image_location) for image in images) == [
        (3, "oci:/images:digits:3"),
        (5, "oci:/images:digits:5"),
    ]
    skipping = world.logs.text(ACCOUNT, operations[0].resource_id)
    assert "version 1 names another image where images go: this one is version" in skipping
    later = await world.building(manifest)
    await world.settle()
    assert (await world.images.get(ACCOUNT, later.resource_id)).version == 6


async def test_a_build_that_has_chosen_its_version_still_publishes():
    world = World()

    async def seen(*_):
        raise Unavailable("the registry is away")

    world.builder.publish = seen
    operation = await world.building(await world.manifest())
    await world.engine.run(ACCOUNT, operation.id)
    shown = operation_status(await world.operation(operation), "http://account").steps
    assert [(step.name, step.state) for step in shown[-2:]] == [("content", State.SUCCEEDED), ("publish", State.RUNNING)]
    assert shown[-1].end_time is None


async def test_warnings_are_shown():
    world = World()
    operation = await world.building(await world.manifest())
    await world.operations.cancel(ACCOUNT, operation.id)
    world.builder.failures = [BuildFailed("the tag stays", code="TagStays")]
    await world.settle()
    shown = json.loads(operation_status(await world.operation(operation), "http://account").json_text())
    assert (shown["state"], shown["warnings"]) == ("Cancelled", [{"code": "TagStays", "message": "the tag stays"}])
    assert "error" not in shown


async def test_an_image_whose_tag_is_taken_at_the_last_moment_gets_another():
    world = World()
    publish = world.builder.publish

    async def taken_once(source, layers, log):
        if source.version == 1:
            world.builder.taken.add(1)
            raise BuildFailed("somebody was faster", code=TAG_TAKEN)
        return await publish(source, layers, log)

    world.builder.publish = taken_once
    operation = await world.building(await world.manifest())
    await world.settle()
    image = await world.images.get(ACCOUNT, operation.resource_id)
    assert (image.creation_state, image.version, image.image_location) == (State.SUCCEEDED, 2, "oci:/images:digits:2")


async def test_a_build_past_its_deadline_fails():
    world = World()
    operation = await world.building(await world.manifest())
    world.clock.advance(operation.deadline - world.clock.now())
    await world.settle()
    assert (await world.operation(operation)).error.code == "ImageBuildTimedOut"


async def test_a_bug_is_delivered_again_and_closed_with_its_cause_in_the_end():
    world = World()
    world.builder.failures = [ZeroDivisionError("secret")] * 2
    operation = await world.building(await world.manifest())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await world.engine.run(ACCOUNT, operation.id)
    await world.engine.close(ACCOUNT, operation.id)
    await world.settle()
    ended = await world.operation(operation)
    assert ended.state is State.FAILED
    assert "ZeroDivisionError" in ended.error.message
    assert "secret" not in ended.error.message


async def test_closing_does_not_change_what_has_ended():
    world = World()
    operation = await world.building(await world.manifest())
    await world.settle()
    ended = await world.operation(operation)
    await world.engine.close(ACCOUNT, operation.id)
    assert await world.operation(operation) == ended


async def test_a_failed_image_is_not_served():
    world = World()
    world.builder.failures = [BuildFailed("no")]
    image_id = await world.built()
    with pytest.raises(InvalidRequest, match=r"imageId: got .* Failed; accepts one that is Succeeded"):
        await world.creating(image_id)


async def test_a_builder_that_works_elsewhere_is_asked_again_with_what_it_left():
    world = World()
    world.builder.not_yet = [NotYet(timedelta(seconds=5), "run 7", {"offset": 12}), NotYet(timedelta(seconds=9), "run 7")]
    operation = await world.building(await world.manifest())
    began = world.clock.now()
    await world.engine.run(ACCOUNT, operation.id)
    assert (await world.operation(operation)).waiting_for == "run 7"
    await world.settle()
    assert (await world.operation(operation)).state is State.SUCCEEDED
    assert (world.clock.now() - began).total_seconds() >= 14
    assert [dict(source.left) for source in world.builder.given] == [{}, {"offset": 12}, {}]
    assert {source.operation_id for source in world.builder.given} == {operation.id}


async def test_what_was_decided_for_a_manifest_is_what_its_next_image_is_made_of():
    world = World()
    model = await world.model()
    manifest = await world.manifest(model)
    for _ in range(2):
        await world.building(manifest)
        await world.settle()
    first, again = world.builder.given
    assert first.known.keys() == {f"{manifest.id}/pip.lock"}
    assert again.known.keys() == {f"{manifest.id}/pip.lock", f"{model.id}/0"}
