"""Requirements files: what is taken of them, what is refused by name; and reading why requirements cannot be met."""

import time

import pytest

from shared.domain.errors import BuildFailed
from shared.images.packages.requirements import SETUPTOOLS, Unsatisfiable, parse_requirements, with_spark

OURS = ("https://user:SECRET@Packages.Example/simple/", "http://mirror.example:8080/pypi")
MODERN = "setuptools\n"


def test_requirements_are_taken_in_their_order_with_their_hashes():
    content = b"\xef\xbb\xbfsix==1.17.0 \\\n  --hash=sha256:00\n# a comment\n\n"
    content += b"requests[socks]>=2 ; python_version > '3' # why\nsetuptools"
    assert parse_requirements(content) == (
        "six==1.17.0    --hash=sha256:00",
        "requests[socks]>=2 ; python_version > '3'",
        "setuptools",
    )


def test_setuptools_is_asked_for_unless_the_file_does():
    assert parse_requirements(b"six\n") == ("six", SETUPTOOLS)
    assert parse_requirements(b"six\nSetupTools==75\n") == ("six", "SetupTools==75")
    assert parse_requirements(b"# nothing\n") == ()


@pytest.mark.parametrize(
    "line",
    [
        "-i https://packages.example/simple",
        "-ihttps://packages.example/simple",
        "--index-url https://packages.example/simple/",
        "--index-url=HTTPS://PACKAGES.EXAMPLE:443/simple",
        "--extra-index-url https://other:credentials@packages.example/simple",
        "--find-links=http://mirror.example:8080/pypi/",
        "--index-url https://packages.example/simple --extra-index-url 'http://mirror.example:8080/pypi'",
    ],
)
def test_options_that_name_the_operators_indexes_are_left_out(line):
    assert parse_requirements(f"{line}\nsix\n{MODERN}".encode(), OURS) == ("six", "setuptools")


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("--index-url https://user:SECRET@evil.example/simple?sig=SECRET", "--index-url"),
        ("-i https://packages.example/other", "-i"),
        ("-ihttps://packages.example:8443/simple", "-i"),
        ("--extra-index-url=http://packages.example/simple", "--extra-index-url"),
        ("--find-links ./wheels", "--find-links"),
        ("-f file:///opt/wheels", "-f"),
        ("--index-url", "--index-url"),
        ("--index-url https://packages.example:port/simple", "--index-url"),
        ("--index-url https://packages.example/simple --extra-index-url https://evil.example", "--extra-index-url"),
    ],
)
def test_other_indexes_are_refused_by_line_option_and_clean_url_naming_the_setting(line, option):
    with pytest.raises(BuildFailed) as refused:
        parse_requirements(f"six\n{line}\n".encode(), OURS)
    assert refused.value.code == "BadRequirements"
    for said in ("Line 2", f"{option} names another package index", "SLIPWAY_PACKAGE_INDEXES"):
        assert said in refused.value.message
    assert "SECRET" not in refused.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-e .", "-e is not taken"),
        ("-r other.txt", "-r is not taken"),
        ("-rother.txt", "-r is not taken"),
        ("--requirement=other.txt", "--requirement is not taken"),
        ("-c constraints.txt", "-c is not taken"),
        ("--editable git+https://host/x", "--editable is not taken"),
        ("--no-index", "--no-index is not taken"),
        ("--trusted-host evil.example", "--trusted-host is not taken"),
        ("--pre", "--pre is not taken"),
        ("--index-url https://packages.example/simple --pre", "--pre is not taken"),
        ("./six.whl", "paths and URLs are not taken"),
        ("/etc/passwd", "paths and URLs are not taken"),
        ("file:///opt/six.whl", "paths and URLs are not taken"),
        ("https://host/six.whl?sig=SECRET", "paths and URLs are not taken"),
        ("six @ file:///opt/six.whl", "packages come from the index"),
        ("six @ https://host/six.whl?sig=SECRET", "packages come from the index"),
        ("six --index-url https://packages.example/simple", "it is no package name"),
    ],
)
def test_what_reaches_outside_is_refused_by_line(line, said):
    with pytest.raises(BuildFailed) as refused:
        parse_requirements(f"six\n\n{line}\n".encode(), OURS)
    assert refused.value.code == "BadRequirements"
    assert "Line 3" in refused.value.message
    assert said in refused.value.message
    assert "SECRET" not in refused.value.message


def test_a_file_that_is_no_text_is_refused():
    with pytest.raises(BuildFailed, match="UTF-8"):
        parse_requirements(b"\xff\xfe")


LONG = """
  × No solution found when resolving dependencies:
  ╰─▶ Because only the following versions of numpy are available:
          numpy<=1.26.4
          numpy>=2.0.0
      and all of:
          pandas>=2.0.0,<=2.0.3
          pandas>=2.1.1
      depend on numpy{python_full_version >= '3.11' and sys_platform == 'linux'}>=1.23.2, we can conclude that pandas>=2
      depends on numpy>=1.23.2. (1)

      Because pandas==2.1.0 was yanked (reason: wrong and broken) and scipy==1.0 depends on one of:
          numpy<1.20
          numpy==1.21.0
      we can conclude that scipy==1.0 depends on numpy<=1.21.0.
      And because we know from (1) that pandas>=2 depends on numpy>=1.23.2 and you require scipy==1.0, we can conclude that
      you require pandas<2.
      And because you require pandas>=2 and xarray, we can conclude that your requirements are unsatisfiable.

      hint: pandas was requested with a pre-release marker, and you require nothing of it
"""


def test_long_explanations_come_down_to_who_asks_for_what():
    why = Unsatisfiable.read(LONG)
    assert [str(demand) for demand in why.demands] == [
        "pandas in several versions depends on numpy>=1.23.2",
        "scipy==1.0 depends on numpy<1.20",
        "scipy==1.0 depends on numpy==1.21.0",
        "the file asks for scipy==1.0",
        "the file asks for pandas>=2",
        "the file asks for xarray",
    ]
    assert why.contested == ("numpy",)
    assert why.error().message == (
        "The requirements cannot be met: no version of numpy suits all who ask for it: "
        "pandas in several versions depends on numpy>=1.23.2; scipy==1.0 depends on numpy<1.20."
    )


def test_what_only_one_asks_for_and_the_index_lacks_is_no_conflict():
    why = Unsatisfiable.read(
        "Because there are no versions of six>=99 and old==1.0 depends on six>=99, we can conclude that old==1.0 cannot be"
        " used. And because you require old==1.0, we can conclude that your requirements are unsatisfiable."
    )
    assert why.error().code == "RequirementNotFound"
    assert "old==1.0 depends on six>=99, which the package index does not have" in why.error().message


def test_a_conflict_with_what_slipway_asks_for_itself_says_so():
    why = Unsatisfiable.read(
        "Because new==1.0 depends on setuptools>=82 and you require new==1.0, we can conclude that you require"
        f" setuptools>=82. And because you require {SETUPTOOLS}, we can conclude that your requirements are unsatisfiable."
    )
    assert "Slipway itself asks for setuptools<81 unless the file names setuptools" in why.error().message


def test_an_explanation_in_words_that_are_not_known_is_passed_on_clean():
    failed = Unsatisfiable.read("No solution found: it is so, see https://user:SECRET@host/why?sig=SECRET").error()
    assert failed.code == "DependencyConflict"
    assert "it is so" in failed.message
    assert "SECRET" not in failed.message


@pytest.mark.parametrize(
    ("lines", "conda", "added"),
    [
        ((), (), True),
        (("numpy", "pyspark-tools==1", "py-spark"), ("pyspark-extra=1",), True),
        (("PySpark>=3.5 --hash=sha256:00",), (), False),
        (("pyspark[ml,sql]==4.3.0",), (), False),
        ((), ("pyspark=3.5", "numpy"), False),
        ((), ("conda-forge::pyspark",), False),
    ],
)
def test_spark_is_added_unless_it_is_named(lines, conda, added):
    assert with_spark(lines, conda) == (*lines, *(["pyspark[ml]"] if added else []))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("six\n" * 2001, "has 2001 requirements; accepted are 2000"),
        ("six>=" + "1" * 3000, "it has 3005 characters; accepted are 2000"),
        ("six; " + "(" * 1500 + "python_version > '3'" + ")" * 1500, "accepted are 2000"),
        ("six; " + "(" * 900 + "python_version > '3'" + ")" * 900, "is refused"),
        ("-x " + "a://" * 15_000, "is refused"),
        ("six @ " + "a://" * 15_000, "is refused"),
    ],
    ids=["many", "long", "deep and long", "deep", "option", "address"],
)
def test_a_file_of_any_size_is_refused_soon_for_what_it_is(content, said):
    began = time.process_time()
    with pytest.raises(BuildFailed, match=said) as refused:
        parse_requirements(content.encode())
    assert refused.value.code == "BadRequirements"
    assert time.process_time() - began < 1


def test_a_requirement_may_have_many_hashes():
    line = "six==1.17.0 " + " ".join(f"--hash=sha256:{number:064x}" for number in range(300))
    assert parse_requirements(line.encode()) == (line, SETUPTOOLS)
