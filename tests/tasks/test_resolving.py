from typing import Any

import pytest

from shared.domain.building import Content, ImageSource, Resolved, content_key
from shared.domain.errors import BuildFailed
from shared.domain.manifests import Builder, RuntimeProperties
from shared.registries.registries import Registries
from shared.tasks.builder import TasksImageBuilder
from tests.tasks.making import BASE, MANIFEST_ID, WANTED, Inner, Log, source


@pytest.fixture
def resolving(acr, runs) -> Any:
    """A builder beside a registry of Azure's, which nothing asks yet."""

    def made(inner: Inner, *lines: str) -> TasksImageBuilder:
        async def requirements(wanted: ImageSource, log: Any) -> tuple[str, ...]:
            return lines

        return TasksImageBuilder(
            inner,
            runs,
            Registries({}, lambda: None),
            registry="myregistry.azurecr.io/slipway",
            platform="linux/amd64",
            requirements=requirements,
        )

    return made


async def test_the_other_builder_resolves_a_source_without_packages(resolving):
    inner = Inner()
    assert await resolving(inner, "six").resolve(source(**WANTED), Log()) == Resolved(BASE, {"x": Content("sha256:x")})
    ((_, asked),) = inner.asked
    assert asked.manifest.target_runtime.properties == RuntimeProperties()


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        ({"apt_packages": "gcc;id"}, "BadAptPackages", "got 'gcc;id'"),
        ({"builder": Builder.ACR_TASKS, "conda_env_file": "https://host/env.yml"}, "CondaNotSupported", "condaEnvFile"),
        ({"apt_packages": "gcc", "pip_requirements": "https://host/r.txt"}, "BadRequirements", "'numpy' has no hash"),
    ],
)
async def test_what_a_run_cannot_install_is_refused_before_anything_is_made(acr, resolving, wanted, code, said):
    with pytest.raises(BuildFailed, match=said) as refused:
        await resolving(Inner(), "six==1 --hash=sha256:0", "numpy").resolve(source(**wanted), Log())
    assert refused.value.code == code
    assert acr.asked == []


async def test_what_is_known_is_not_read_again(resolving):
    known = {content_key(MANIFEST_ID, "dependencies"): Content("sha256:" + "c3" * 32)}
    resolved = await resolving(Inner(), "six==1 --hash=sha256:0", "numpy").resolve(source(**WANTED, known=known), Log())
    assert resolved.base == BASE


async def test_a_remote_build_needs_a_base_image(resolving):
    with pytest.raises(BuildFailed, match="SLIPWAY_BASE_IMAGE_PYTHON") as refused:
        await resolving(Inner(base="")).resolve(source(apt_packages="gcc"), Log())
    assert refused.value.code == "RemoteBuilderNotSet"
