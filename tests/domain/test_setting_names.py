"""One list has the names of all settings: the code reads these, README explains these, and any other is a mistake."""

import re
from pathlib import Path

import pytest

from shared.domain.plans import PLANS
from shared.settings.app import app_settings
from shared.settings.environment import Environment
from shared.settings.names import KUBECONFIGS, NAMES, OF_THE_STACK, unknown

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"SLIPWAY_[A-Z0-9_]*[A-Z0-9](?:__accountName)?")


def test_every_name_in_the_list_is_read_and_every_name_that_is_read_is_in_the_list():
    environment = Environment({"SLIPWAY_LOCAL_COMPUTE_URL": "http://127.0.0.1:1"})
    app_settings(environment)
    assert {name for name in environment.asked if name.startswith("SLIPWAY_")} == set(NAMES)
    assert len(NAMES) == len(set(NAMES))


def test_the_table_of_the_readme_has_exactly_these_names():
    text = (ROOT / "README.md").read_text()
    table = [
        line.split("|")[1] for line in text.partition("## Settings")[2].partition("\n## ")[0].splitlines() if "| `" in line
    ]
    shown = {name for cell in table for name in _NAME.findall(cell)}
    shown |= {f"SLIPWAY_DEADLINE_{suffix}" for cell in table for suffix in re.findall(r"…_([A-Z_]+)", cell)}
    of_each_kind = {f"SLIPWAY_ATTEMPTS_{name.upper().replace('-', '_')}" for name in PLANS}
    assert shown - {KUBECONFIGS.rstrip("_")} | of_each_kind == set(NAMES)
    assert any(f"`{KUBECONFIGS}…`" in cell for cell in table)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SLIPWAY_REGISTY", "SLIPWAY_REGISTRY"),
        ("SLIPWAY_DEADLINE_BUILDIMAGE", "SLIPWAY_DEADLINE_BUILD_IMAGE"),
        ("SLIPWAY_ACCOUNT", "SLIPWAY_ACCOUNTS"),
        ("SLIPWAY_TENANT", "SLIPWAY_ENTRA_TENANT"),
        ("SLIPWAY_KUBECONFIG", "SLIPWAY_KUBECONFIG_…"),
        ("SLIPWAY_KUBECONFIG_prod", "SLIPWAY_KUBECONFIG_…"),
        ("slipway_secret", "SLIPWAY_SECRET"),
        ("SLIPWAY_HOM", "SLIPWAY_HOME"),
        ("SLIPAWY_REGISTRY", "SLIPWAY_REGISTRY"),
        ("SLIPWAYS_SECRET", "SLIPWAY_SECRET"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_nearest_that_is_one(name, nearest):
    assert unknown({name: "x", "PATH": "/bin", "SLIPWAY_SECRET": "x"}) == (
        f"{name} is no setting; the nearest known one is {nearest}.",
    )


def test_a_name_that_is_near_no_setting_is_told_too():
    assert unknown({"SLIPWAY_XYZZY": ""}) == ("SLIPWAY_XYZZY is no setting, nor near one; README, Settings, has them all.",)


def test_what_the_stack_tests_and_benchmarks_read_is_no_mistake():
    development = ("SLIPWAY_TEST_KUBECONFIG", "SLIPWAY_TEST_CACHE", "SLIPWAY_BENCH_ROUNDS", "SLIPWAY_CHAOS")
    assert unknown((*OF_THE_STACK, *NAMES, f"{KUBECONFIGS}PROD", *development)) == ()
