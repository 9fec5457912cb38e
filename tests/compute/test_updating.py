"""Updates of a service: what works goes on working until its successor does."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from tests.compute.images import Made
from tests.compute.running import QUICK, Cluster, counted, until

type MakeImage = Callable[..., Made]


async def test_a_deployment_answers_calls_when_its_rollout_is_ready(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(answer="one"))
    assert (await service.score())["answer"] == "one"


async def test_an_update_under_load_fails_no_call_and_the_answers_change_over(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(answer="one"), counted(2))
    stop = asyncio.Event()

    async def score_all_the_time(answers: list[str]) -> None:
        while not stop.is_set():
            answers.append((await service.score(sleep=0.01))["answer"])

    told: list[list[str]] = [[] for _ in range(8)]
    scorers = [asyncio.create_task(score_all_the_time(answers)) for answers in told]
    await until(lambda: all(told))
    await service.deploy(image(2, answer="two"), counted(2))
    await until(lambda: all(answers[-1] == "two" for answers in told))
    stop.set()
    await asyncio.gather(*scorers)
    for answers in told:
        assert answers[0] == "one"
        assert answers == sorted(answers), "from one to two, and never back"


async def test_the_replicas_of_the_old_deployment_stop_once_their_requests_have_finished(
    cluster: Cluster, image: MakeImage
) -> None:
    service = cluster.service()
    old = await service.deploy(image(answer="one"))
    under_way = await service.under_way(sleep=1.0)
    await service.deploy(image(2, answer="two"))
    assert cluster.files(f"replicas/{old.deployment_id}-*")
    assert (await under_way).json()["answer"] == "one"
    await until(lambda: not cluster.files(f"replicas/{old.deployment_id}-*"))


async def test_a_deployment_whose_init_fails_tells_why_and_what_ran_before_runs_on(
    cluster: Cluster, image: MakeImage
) -> None:
    service = cluster.service()
    before = await service.deploy(image(answer="one"))
    pid = (await service.score())["pid"]
    failing = service.spec(image(2, fails="no such model"))
    await cluster.compute.ensure_deployment(failing)
    error = await service.outcome(failing)
    assert error is not None
    assert (error.code, error.status_code) == ("ServiceDeploymentFailed", 400)
    assert [detail.code for detail in error.details] == ["CrashLoopBackOff"]
    assert "exited with code 1, 4 times" in error.message
    assert error.message.endswith("RuntimeError: no such model")
    assert 'File "/opt/slipway/runtime/__main__.py", line' in error.message, "its paths are the image's"
    assert str(cluster.state) not in error.message
    assert (await service.score())["pid"] == pid
    await until(lambda: [path.name for path in cluster.files("replicas/*")] == [f"{before.deployment_id}-0"])


async def test_a_first_deployment_that_fails_leaves_nothing_running(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    failing = service.spec(image(fails="no such model"))
    await cluster.compute.ensure_deployment(failing)
    assert await service.outcome(failing) is not None
    assert (await service.call()).status_code == 404
    await until(lambda: not cluster.files("replicas/*"))


async def test_replicas_that_take_long_to_fail_fail_the_deployment_too(start, image: MakeImage) -> None:
    async with start(limits=replace(QUICK, healthy_again_after=0)) as cluster:
        service = cluster.service()
        spec = service.spec(image(fails="no weights"))
        await cluster.compute.ensure_deployment(spec)
        error = await service.outcome(spec)
    assert error is not None
    assert "no weights" in error.message


async def test_replicas_that_do_not_start_in_time_fail_the_deployment(start, image: MakeImage) -> None:
    async with start(replace(QUICK, start_timeout=2)) as cluster:
        service = cluster.service()
        slow = service.spec(image(slow="60"))
        await cluster.compute.ensure_deployment(slow)
        error = await service.outcome(slow)
    assert error is not None
    assert (error.code, error.status_code) == ("DeploymentTimedOut", 504)
    assert [detail.code for detail in error.details] == ["StartTimedOut"]
    assert error.message.endswith("starting")


async def test_an_image_that_is_not_there_fails_the_deployment(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    lost = replace(service.spec(image()), image_digest=f"sha256:{'0' * 64}")
    await cluster.compute.ensure_deployment(lost)
    error = await service.outcome(lost)
    assert error is not None
    assert "could not be started" in error.message


async def test_a_deployment_that_is_asked_for_twice_is_one(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    spec = await service.deploy(image())
    pid = (await service.score())["pid"]
    await cluster.compute.ensure_deployment(spec)
    assert (await cluster.compute.rollout(spec, {})).ready
    assert (await service.score())["pid"] == pid


async def test_the_newest_of_two_deployments_under_way_wins(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    first = service.spec(image(slow="5", answer="first"))
    await cluster.compute.ensure_deployment(first)
    await until(lambda: cluster.files(f"replicas/{first.deployment_id}-*"))
    await service.deploy(image(2, answer="second"))
    assert (await service.score())["answer"] == "second"
    await until(lambda: not cluster.files(f"replicas/{first.deployment_id}-*"))


async def test_a_deployment_given_up_stops_and_what_ran_before_runs_on(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(answer="one"))
    pending = service.spec(image(2, slow="60"))
    await cluster.compute.ensure_deployment(pending)
    await until(lambda: cluster.files(f"replicas/{pending.deployment_id}-*"))
    for _ in range(2):
        await cluster.compute.ensure_rolled_back(service.id, pending.deployment_id, None)
    await until(lambda: not cluster.files(f"replicas/{pending.deployment_id}-*"))
    assert (await service.score())["answer"] == "one"
    await cluster.compute.ensure_deployment(pending)
    assert await service.outcome(pending) is not None, "it is not taken again"


async def test_a_deployment_given_up_after_it_took_over_gives_way_to_the_one_before(
    cluster: Cluster, image: MakeImage
) -> None:
    service = cluster.service()
    await service.deploy(image(answer="one"))
    second = await service.deploy(image(2, answer="two"))
    await cluster.compute.ensure_rolled_back(service.id, second.deployment_id, None)
    answers = [(await service.score())["answer"]]
    while answers[-1] != "one":
        answers.append((await service.score())["answer"])
    assert set(answers) <= {"one", "two"}


async def test_only_the_images_that_services_need_stay_unpacked(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(answer="one"))
    second = await service.deploy(image(2, answer="two"))
    name = second.image_digest.replace(":", "-")
    await until(lambda: [path.name for path in cluster.files("images/*")] == [name])
    assert (await service.score())["answer"] == "two"


async def test_settings_alone_may_change(cluster: Cluster, image: MakeImage) -> None:
    service, made = cluster.service(), image()
    await service.deploy(made, counted(1))
    more = await service.deploy(made, counted(3))
    assert len(cluster.files(f"replicas/{more.deployment_id}-*")) == 3
    pids = {(await service.score())["pid"] for _ in range(9)}
    assert len(pids) == 3


async def test_a_live_replica_that_cannot_start_is_tried_again_ever_more_rarely(cluster: Cluster, image: MakeImage) -> None:
    service = cluster.service()
    await service.deploy(image(answer="one"))
    (program,) = cluster.files("images/*/opt/slipway/runtime/__main__.py")
    (log,) = cluster.files("logs/*/*.log")
    program.rename(program.with_name("away"))
    assert (await service.call(die=3)).status_code == 502
    began = time.monotonic()
    await until(lambda: log.read_text().count("can't find '__main__' module") >= 4)
    assert time.monotonic() - began >= 0.1 + 0.2 + 0.4, "three pauses, each twice the one before"
    program.with_name("away").rename(program)
    statuses = [(await service.call()).status_code]
    while statuses[-1] != 200:
        statuses.append((await service.call()).status_code)
    assert set(statuses) <= {503, 200}
