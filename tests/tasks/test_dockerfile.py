import gzip
import io
import re
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import BuildFailed
from shared.images.image_config import DEPENDENCIES
from shared.tasks.context import packed
from shared.tasks.dockerfile import PACKAGES, Recipe, apt_packages, refuse_half_hashed

BASE = "docker.io/library/python@sha256:" + "a1" * 32

BOTH = f"""FROM {BASE}
USER root
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
gcc libgomp1=12.2.0-14+deb12u1 && rm -rf /var/lib/apt/lists/*
COPY requirements.txt /opt/slipway/requirements.txt
RUN python -m pip install --no-cache-dir --no-compile --target /opt/slipway/python -r /opt/slipway/requirements.txt
"""


def test_packages_and_requirements_are_installed_over_the_base():
    files = Recipe(BASE, ("gcc", "libgomp1=12.2.0-14+deb12u1"), ("six==1.17.0", "numpy>=2; python_version > '3'")).files()
    assert files == {"Dockerfile": BOTH, "requirements.txt": "six==1.17.0\nnumpy>=2; python_version > '3'\n"}


def test_without_requirements_nothing_is_copied():
    files = Recipe(BASE, ("gcc",), ()).files()
    assert list(files) == ["Dockerfile"]
    assert files["Dockerfile"].splitlines()[2:] == [BOTH.splitlines()[2].replace(" libgomp1=12.2.0-14+deb12u1", "")]


def test_without_packages_apt_is_not_asked():
    assert Recipe(BASE, (), ("six",)).files()["Dockerfile"].splitlines() == [*BOTH.splitlines()[:2], *BOTH.splitlines()[3:]]


def test_python_packages_go_where_images_look_for_them():
    assert f"/{DEPENDENCIES}" == PACKAGES


@pytest.mark.parametrize("text", ["gcc, libgomp1 g++", "g++ gcc libgomp1", "libgomp1,,g++,\n gcc gcc"])
def test_packages_are_listed_with_commas_or_spaces_in_any_order(text):
    assert apt_packages(text) == ("g++", "gcc", "libgomp1")


@pytest.mark.parametrize("name", ["curl=7.88.1-10+deb12u8", "vim=2:9.0.1378-2", "python3.11", "libc6-dev", "dpkg=1.21~rc1"])
def test_a_package_may_have_a_version(name):
    assert apt_packages(name) == (name,)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a",
            "Curl",
            "-y",
            "--allow-unauthenticated",
            "gcc-",
            "curl;id",
            "curl&&id",
            "curl|id",
            "$(id)",
            "`id`",
            "a/b",
            "../x",
        ),
        *(
            "curl=",
            "curl=~1",
            "curl==1",
            "curl=1;id",
            "curl=$(id)",
            "libc6:amd64",
            "curl>1",
            "'curl'",
            '"curl"',
            "curl\\",
            "c*",
        ),
        *("#curl", "curl\x00", "ｃurl", "curl=１", ",", " ", "gcc curl\nRUN:id", "./local.deb", "http://host/x.deb"),
    ],
)
def test_what_is_no_name_of_a_package_is_refused(text):
    with pytest.raises(BuildFailed, match=r"targetRuntime\.properties\.aptPackages") as refused:
        apt_packages(text)
    assert refused.value.code == "BadAptPackages"


@given(st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("ab1=+-.~:, ;$`\n\\&|"))))
def test_no_text_becomes_anything_but_words_of_one_line(text):
    try:
        packages = apt_packages(text)
    except BuildFailed:
        return
    lines = Recipe(BASE, packages, ()).files()["Dockerfile"].split("\n")
    assert len(lines) == 4
    install = re.fullmatch(
        r"RUN apt-get update && \S+ apt-get install --yes --no-install-recommends (.+) && rm .*", lines[2]
    )
    assert install
    assert re.fullmatch(r"[a-z0-9][A-Za-z0-9+.:=~ -]*", install[1])
    assert not re.search(r"(?:^| )-", install[1])


@given(st.lists(st.text(), max_size=3))
def test_requirements_never_get_into_the_dockerfile(requirements):
    usual = Recipe(BASE, (), ("six",)).files()["Dockerfile"]
    assert not requirements or Recipe(BASE, (), tuple(requirements)).files()["Dockerfile"] == usual


def test_equal_recipes_have_one_key_and_each_part_changes_it():
    recipes = [
        Recipe(BASE, ("gcc",), ("six",)),
        Recipe(BASE.replace("a1", "b2"), ("gcc",), ("six",)),
        Recipe(BASE, ("gcc", "six"), ()),
        Recipe(BASE, ("gcc=1",), ("six",)),
        Recipe(BASE, ("gcc",), ("six==1",)),
        Recipe(BASE, (), ("gcc", "six")),
    ]
    keys = {recipe.key("linux/amd64") for recipe in recipes} | {recipes[0].key("linux/arm64")}
    assert len(keys) == 7
    assert Recipe(BASE, apt_packages("gcc"), ("six",)).key("linux/amd64") in keys


def test_requirements_have_hashes_all_or_none():
    hashed = "six==1.17.0 --hash=sha256:" + "0" * 64
    refuse_half_hashed([hashed])
    refuse_half_hashed(["six", "numpy"])
    refuse_half_hashed([])
    with pytest.raises(BuildFailed, match="'setuptools<81' has no hash") as refused:
        refuse_half_hashed([hashed, "setuptools<81"])
    assert refused.value.code == "BadRequirements"


def test_the_context_is_the_same_bytes_for_the_same_files():
    files = {"requirements.txt": "sïx\n", "Dockerfile": BOTH}
    content = packed(files)
    assert content == packed(dict(reversed(files.items())))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        assert archive.getnames() == ["Dockerfile", "requirements.txt"]
        assert {info.mtime for info in archive} == {0}
        assert archive.extractfile("requirements.txt").read() == "sïx\n".encode()
