import pytest

from shared.registries.platforms import Platform


@pytest.mark.parametrize(
    ("target", "offered", "best"),
    [
        ("linux/amd64", "amd64 amd64/v3", "amd64"),
        ("linux/amd64", "amd64/v3 amd64", "amd64"),
        ("linux/amd64", "amd64/v2 amd64/v3 amd64", "amd64"),
        ("linux/amd64", "amd64/v3 amd64/v2", "amd64/v2"),
        ("linux/amd64", "amd64/v1 amd64/v2", "amd64/v1"),
        ("linux/amd64", "amd64/baseline amd64/v4", "amd64/v4"),
        ("linux/amd64", "arm64 s390x", None),
        ("linux/amd64/v3", "amd64 amd64/v2 amd64/v3 amd64/v4", "amd64/v3"),
        ("linux/amd64/v3", "amd64 amd64/v2 amd64/v4", "amd64/v2"),
        ("linux/amd64/v3", "amd64/v4 amd64", "amd64"),
        ("linux/amd64/v3", "amd64/v4", None),
        ("linux/amd64/v1", "amd64", "amd64"),
        ("linux/arm64", "arm64/v8", "arm64/v8"),
        ("linux/arm64/v8", "arm64 arm64/v9", "arm64"),
        ("linux/arm64/v9", "arm64/v8 arm64/v9", "arm64/v9"),
        ("linux/arm/v6", "arm/v5 arm/v7", "arm/v5"),
        ("linux/arm/v7", "arm/v5 arm/v6 arm/v7", "arm/v7"),
        ("linux/arm", "arm/v7 arm/v6", "arm/v6"),
    ],
)
def test_the_best_of_several_entries_is_the_plain_one_or_the_lowest(target, offered, best):
    entries = [(Platform.named("linux", *one.split("/")), one) for one in offered.split()]
    assert Platform.parse(target).best(entries) == best


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "linux/amd64/v3/x", "/amd64", "Linux/amd64", "linux/amd 64", "linux/" + "a" * 50]
)
def test_what_names_no_platform_is_refused(text):
    with pytest.raises(ValueError, match="accepts os/architecture"):
        Platform.parse(text)


@pytest.mark.parametrize("said", [None, [], "linux/amd64", {}, {"os": "linux"}, {"os": None, "architecture": None}, 7])
def test_what_says_no_platform_is_none(said):
    assert Platform.of(said) is None


def test_a_platform_has_one_name():
    assert [str(Platform.parse(text)) for text in ("linux/arm64/v8", "linux/amd64/v1", "linux/amd64/v3")] == [
        "linux/arm64",
        "linux/amd64",
        "linux/amd64/v3",
    ]
