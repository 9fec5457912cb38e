"""Wrong values are refused when settings are read, all at once, each by its name and with what it accepts."""

import base64
import json
from pathlib import Path

import pytest

from shared.images.packages.conda import SUBDIRS
from shared.images.packages.uv import PLATFORMS
from shared.settings.environment import SettingError
from shared.settings.images import TargetPlatform
from shared.startup import checked_settings
from tests.settings import SETTINGS

KEY = base64.b64encode(b"k" * 32).decode()
INTO_REGISTRY = {**SETTINGS, "SLIPWAY_REGISTRY": "r.azurecr.io/slipway"}
KUBECONFIG = json.dumps(
    {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k.example"}}],
        "users": [{"name": "u", "user": {"token": "SECRET"}}],
    }
)
LOCAL = {"SLIPWAY_LOCAL_COMPUTE_TOKEN": "t", "SLIPWAY_LOCAL_FRONT_END": "http://127.0.0.1:1"}
BESIDE = {"SLIPWAY_EVENTS_ENDPOINT": {"SLIPWAY_EVENTS_KEY": f"whsec_{KEY}"}, "SLIPWAY_LOCAL_COMPUTE_URL": LOCAL}
"""What a setting wants to have beside it."""
WRONG = [
    ("AzureWebJobsStorage", "junk"),
    ("AzureWebJobsStorage", "AccountName=a;AccountKey=not base64"),
    ("AzureWebJobsStorage", "AccountName=a;AccountKey=eA==;TableEndpoint=nowhere"),
    ("AzureWebJobsStorage", "DefaultEndpointsProtocol=ftp;AccountName=a;AccountKey=eA=="),
    ("AzureWebJobsStorage__accountName", "https://account.blob.core.windows.net"),
    ("SLIPWAY_ACCOUNTS", "/subscriptions/s/resourceGroups/g/accounts/a"),
    ("SLIPWAY_ACCOUNTS", "s/g"),
    ("SLIPWAY_ACCOUNTS", "s/g/a b"),
    ("SLIPWAY_ACCOUNTS", "s/g/.."),
    ("SLIPWAY_ACCOUNTS", ","),
    ("SLIPWAY_SECRET", "<32 random bytes in base64: openssl rand -base64 32>"),
    ("SLIPWAY_SECRET", "changeme"),
    ("SLIPWAY_ENTRA_TENANT", "<tenant id>"),
    ("SLIPWAY_ENTRA_TENANT", "junk"),
    ("SLIPWAY_ENTRA_TENANT", "common"),
    ("SLIPWAY_ENTRA_TENANT", "00000000-0000-0000-0000-000000000000"),
    ("SLIPWAY_TOKEN_AUDIENCES", "api://${CLIENT_ID}"),
    ("SLIPWAY_TOKEN_AUDIENCES", "api://a b"),
    ("SLIPWAY_TOKEN_ISSUERS", "hello"),
    ("SLIPWAY_TOKEN_ISSUERS", "https://issuer, ftp://issuer"),
    ("SLIPWAY_TOKEN_JWKS_URL", "keys"),
    ("SLIPWAY_TOKEN_JWKS_URL", "https://"),
    ("SLIPWAY_TOKEN_JWKS_URL", "https://issuer:99999/keys"),
    ("SLIPWAY_TOKEN_JWKS_URL", "https://user:SECRET@issuer/keys"),
    ("SLIPWAY_TOKEN_JWKS_URL", "https://your-tenant.example/keys"),
    ("SLIPWAY_REGISTRY", "https://r.azurecr.io/slipway"),
    ("SLIPWAY_REGISTRY", "oci://r.azurecr.io/slipway"),
    ("SLIPWAY_REGISTRY", "<registry>.azurecr.io/slipway"),
    ("SLIPWAY_REGISTRY", "myregistry"),
    ("SLIPWAY_REGISTRY", "YOUR_REGISTRY.azurecr.io/slipway"),
    ("SLIPWAY_REGISTRY", "r.azurecr.io:99999/slipway"),
    ("SLIPWAY_REGISTRY_AUTH", "user:SECRET"),
    ("SLIPWAY_REGISTRY_RESOURCE_ID", "r.azurecr.io"),
    ("SLIPWAY_BASE_IMAGE_PYTHON", "https://docker.io/python"),
    ("SLIPWAY_BASE_IMAGE_SPARKPYTHON", "Spark Image"),
    ("SLIPWAY_IMAGES", "/dev/null/x"),
    ("SLIPWAY_IMAGES", "/proc/slipway"),
    ("SLIPWAY_IMAGES", __file__),
    ("SLIPWAY_IMAGES", "https://account.blob.core.windows.net/images"),
    ("SLIPWAY_IMAGES", "/tmp/" + "x" * 300),
    ("SLIPWAY_IMAGES", "C:\\images"),
    ("SLIPWAY_IMAGES", "~/images"),
    ("SLIPWAY_IMAGES", "$HOME/images"),
    ("SLIPWAY_IMAGES", "oci:/images"),
    ("SLIPWAY_SCRATCH", "/dev/null/scratch"),
    ("SLIPWAY_TARGET_PLATFORM", "windows/amd64"),
    ("SLIPWAY_TARGET_PLATFORM", "linux/s390x"),
    ("SLIPWAY_TARGET_PLATFORM", "amd64"),
    ("SLIPWAY_TARGET_PLATFORM", "linux/amd64/v9"),
    ("SLIPWAY_TARGET_PLATFORM", "linux/arm64/v1"),
    ("SLIPWAY_TARGET_PYTHON", "three"),
    ("SLIPWAY_TARGET_PYTHON", "2.7"),
    ("SLIPWAY_TARGET_PYTHON", "3"),
    ("SLIPWAY_TARGET_PYTHON", "3.11"),
    ("SLIPWAY_TARGET_PYTHON", "python3.13"),
    ("SLIPWAY_LAYER_COMPRESSION", "brotli"),
    ("SLIPWAY_PACKAGE_INDEXES", "my index"),
    ("SLIPWAY_PACKAGE_INDEXES", "pypi.example"),
    ("SLIPWAY_PACKAGE_INDEXES", "https://pypi.example/simple https://other.example/simple"),
    ("SLIPWAY_PACKAGE_INDEXES", "https://pypi.example/simple;https://other.example/simple"),
    ("SLIPWAY_SOURCE_PACKAGES", "yes"),
    ("SLIPWAY_CONDA_CHANNELS", "conda forge"),
    ("SLIPWAY_CONDA_CHANNELS", "ftp://conda.example"),
    ("SLIPWAY_FETCH_HOSTS", "https://models.example.com"),
    ("SLIPWAY_FETCH_HOSTS", "models.example.com/models"),
    ("SLIPWAY_FETCH_HOSTS", "models.example.com:443"),
    ("SLIPWAY_FETCH_HOSTS", "models..com"),
    ("SLIPWAY_FETCH_ALLOW", "everything"),
    ("SLIPWAY_FETCH_ALLOW", "http://10.0.0.4:80"),
    ("SLIPWAY_FETCH_ALLOW", "10.0.0.4:0"),
    ("SLIPWAY_FETCH_ALLOW", "10.0.0.4:٣"),
    ("SLIPWAY_FETCH_ALLOW", "10.0.0.4:80, 10.0.0.5"),
    ("SLIPWAY_FETCH_CONTAINERS", "Models"),
    ("SLIPWAY_FETCH_CONTAINERS", "https://a.blob.core.windows.net/models"),
    ("SLIPWAY_MOST_FETCHED_BYTES", "16 GiB"),
    ("SLIPWAY_MOST_FETCHED_BYTES", "٣"),
    ("SLIPWAY_MOST_UNPACKED_BYTES", "1e9"),
    ("SLIPWAY_FETCH_MIN_BYTES_PER_SECOND", "-1"),
    ("SLIPWAY_FETCH_MIN_BYTES_PER_SECOND", "10 KiB"),
    ("SLIPWAY_PUBLIC_URL", "models.example.org"),
    ("SLIPWAY_PUBLIC_URL", "ftp://models.example.org"),
    ("SLIPWAY_PUBLIC_URL", "https://models.example.org/?a=b"),
    ("SLIPWAY_PUBLIC_URL", "https://models.example.org/?"),
    ("SLIPWAY_PUBLIC_URL", "https://models.example.org/#a"),
    ("SLIPWAY_PUBLIC_URL", "https://me:word@models.example.org"),
    ("SLIPWAY_PUBLIC_URL", "https://models.example.org/ö"),
    ("SLIPWAY_GARBAGE", "keep"),
    ("SLIPWAY_LAYER_RETENTION_DAYS", "30d"),
    ("SLIPWAY_BUILD_LOG_RETENTION_DAYS", "0"),
    ("SLIPWAY_COMMAND_ACCOUNTS", "sub/group/other"),
    ("SLIPWAY_EVENTS_ENDPOINT", "hooks.example"),
    ("SLIPWAY_DEADLINE_BUILD_IMAGE", "0"),
    ("SLIPWAY_ATTEMPTS_BUILD_IMAGE", "many"),
    ("SLIPWAY_OPERATION_RETENTION_DAYS", "-1"),
    ("SLIPWAY_KUBECONFIG_PROD", "hello"),
    ("SLIPWAY_KUBECONFIG_PROD", "/home/me/.kube/config"),
    ("SLIPWAY_KUBECONFIG_PROD", KUBECONFIG.replace('"token": "SECRET"', '"exec": {"command": "kubelogin"}')),
    ("SLIPWAY_KEY_VAULT", "http://vault.example"),
    ("SLIPWAY_KEY_VAULT", "myvault"),
    ("SLIPWAY_KEY_VAULT", "https://v.vault.azure.net/secrets/kubeconfig"),
    ("SLIPWAY_COLLECTION_STORAGE", "hello"),
    ("SLIPWAY_COLLECTION_STORAGE", "https://account.blob.core.windows.net"),
    ("SLIPWAY_COLLECTION_EVENT_HUB", "hello"),
    ("SLIPWAY_COLLECTION_EVENT_HUB", "Endpoint=sb://h.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=SECRET"),
    ("SLIPWAY_APP_INSIGHTS", "hello"),
    ("SLIPWAY_APP_INSIGHTS", "InstrumentationKey=hello"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "hello"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "carrier pigeon"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
    ("SLIPWAY_LOCAL_COMPUTE_URL", "127.0.0.1:8080"),
    ("SLIPWAY_LOCAL_FRONT_END", "front end"),
]
STAND_INS = (
    "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)",
    "@microsoft.keyvault(VaultName=v;SecretName=s)",
    "@Microsoft.AppConfiguration(Endpoint=https://c.azconfig.io; Key=k)",
    "<value>",
    "${VALUE}",
    "{{ value }}",
    "{value}",
    "$(VALUE)",
    "%VALUE%",
    "$VALUE",
    "…",
    "your-value-here",
    "CHANGE_ME",
    "TODO",
)
ANY_TEXT = (
    "SLIPWAY_SECRET",
    "SLIPWAY_TOKEN_AUDIENCES",
    "SLIPWAY_REGISTRY_AUTH",
    "SLIPWAY_KUBECONFIG_PROD",
    "SLIPWAY_APP_INSIGHTS",
)


def refused(settings: dict[str, str]) -> SettingError:
    with pytest.raises(SettingError) as error:
        checked_settings(settings)
    return error.value


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_out_of_its_kind_is_refused_naming_the_setting_and_nothing_of_a_secret(name, value):
    (problem,) = refused({**SETTINGS, **BESIDE.get(name, {}), name: value}).problems
    assert problem.startswith(name)
    assert "SECRET" not in problem.replace(name, "")


@pytest.mark.parametrize("name", ANY_TEXT)
@pytest.mark.parametrize("value", STAND_INS)
def test_what_only_stands_for_a_value_is_refused_and_not_taken_for_one(name, value):
    (problem,) = refused({**SETTINGS, name: value}).problems
    assert problem.startswith(f"{name} holds a ")
    assert value not in problem


def test_all_that_is_wrong_is_one_error_with_a_line_for_each():
    error = refused({**SETTINGS, "SLIPWAY_SECRET": "", "SLIPWAY_GARBAGE": "all", "SLIPWAY_KUBECONFIG_PROD": "hello"})
    assert len(error.problems) == 3
    assert str(error) == "3 settings are wrong:\n- " + "\n- ".join(error.problems)


def test_what_is_missing_is_told_with_what_would_do_in_its_place():
    missing = {name: value for name, value in SETTINGS.items() if name not in ("SLIPWAY_IMAGES", "SLIPWAY_TOKEN_ISSUERS")}
    issuers, images = refused(missing).problems
    assert "SLIPWAY_TOKEN_ISSUERS is missing" in issuers
    assert issuers.endswith("or set SLIPWAY_ENTRA_TENANT.")
    assert "SLIPWAY_IMAGES is missing" in images
    assert images.endswith("or set SLIPWAY_REGISTRY.")


def test_each_part_of_what_belongs_together_is_missed():
    local, hook = {"SLIPWAY_LOCAL_COMPUTE_URL": "http://127.0.0.1:1"}, {"SLIPWAY_EVENTS_ENDPOINT": "https://hook/x"}
    missing = [problem.split()[2] for problem in refused({**SETTINGS, **local, **hook}).problems]
    assert missing == ["SLIPWAY_LOCAL_COMPUTE_TOKEN", "SLIPWAY_LOCAL_FRONT_END", "SLIPWAY_EVENTS_KEY"]


RIGHT = [
    ("AzureWebJobsStorage", "UseDevelopmentStorage=true"),
    ("SLIPWAY_COMMAND_ACCOUNTS", "SUB/Group/LOCAL"),
    ("SLIPWAY_TOKEN_AUDIENCES", "api://slipway, 8f2b7a3e-5d41-4c1e-9a60-0d2f6b7c8e91"),
    ("SLIPWAY_PACKAGE_INDEXES", "https://user:p%ab%cd@pypi.example/simple/, https://pypi.org/simple"),
    ("SLIPWAY_CONDA_CHANNELS", "conda-forge, https://conda.example/t/token/channel, conda-forge/label/dev"),
    ("SLIPWAY_FETCH_HOSTS", "*.blob.core.windows.net, models.example.com, 10.0.0.4"),
    ("SLIPWAY_FETCH_ALLOW", "10.0.0.4:80, account.privatelink.blob.core.windows.net:443"),
    ("SLIPWAY_FETCH_CONTAINERS", "models, azureml-blobstore-1"),
    ("SLIPWAY_TARGET_PYTHON", "3.12"),
    ("SLIPWAY_KUBECONFIG_PROD", KUBECONFIG),
    ("SLIPWAY_KEY_VAULT", "https://v.vault.azure.net/"),
    ("SLIPWAY_REGISTRY_AUTH", json.dumps({"auths": {"r.io": {"username": "u", "password": "<p>${x}"}}})),
    ("SLIPWAY_COLLECTION_STORAGE", f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};"),
    ("SLIPWAY_COLLECTION_STORAGE", "BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sv=1&sig=x"),
    (
        "SLIPWAY_COLLECTION_EVENT_HUB",
        f"Endpoint=sb://h.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey={KEY};EntityPath=rows",
    ),
    ("SLIPWAY_APP_INSIGHTS", "8f2b7a3e-5d41-4c1e-9a60-0d2f6b7c8e91"),
    (
        "SLIPWAY_APP_INSIGHTS",
        "InstrumentationKey=8f2b7a3e-5d41-4c1e-9a60-0d2f6b7c8e91;IngestionEndpoint=https://in.example/",
    ),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "2.5"),
    ("SLIPWAY_TARGET_PLATFORM", "linux/arm64/v8.2"),
    ("SLIPWAY_TARGET_PLATFORM", "linux/amd64/v4"),
    ("SLIPWAY_FETCH_HOSTS", "*"),
]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_a_setting_is_for_is_taken(name, value):
    assert checked_settings({**SETTINGS, name: value})


def test_an_ipv6_host_that_may_be_fetched_from_is_named_as_fetches_name_it():
    assert checked_settings({**SETTINGS, "SLIPWAY_FETCH_ALLOW": "[::1]:8080"}).images.fetch.allow == ("::1:8080",)


def test_a_folder_that_is_not_there_yet_is_not_made_by_looking_at_it(tmp_path: Path):
    folder = tmp_path / "deep" / "images"
    assert checked_settings({**SETTINGS, "SLIPWAY_IMAGES": str(folder)}).images.images == folder
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("python", "base"), [("", "python:3.13-slim"), ("3.12", "python:3.12-slim")])
def test_images_in_a_registry_stand_on_a_python_though_no_base_image_is_set(python, base):
    bases = checked_settings({**INTO_REGISTRY, "SLIPWAY_TARGET_PYTHON": python}).images.bases
    assert bases == {"Python": f"docker.io/library/{base}"}
    assert checked_settings(SETTINGS).images.bases == {}


def test_a_secret_is_in_no_representation_of_the_settings():
    hidden = {
        "SLIPWAY_SECRET": KEY,
        "SLIPWAY_KUBECONFIG_PROD": KUBECONFIG,
        "SLIPWAY_PACKAGE_INDEXES": "https://user:SECRET@pypi.example/simple",
        "SLIPWAY_REGISTRY_AUTH": json.dumps({"auths": {"r.io": {"username": "u", "password": "SECRET"}}}),
        "SLIPWAY_COLLECTION_STORAGE": f"AccountName=a;AccountKey={KEY}",
    }
    shown = repr(checked_settings({**SETTINGS, **hidden}))
    assert "SECRET" not in shown
    assert KEY not in shown
    assert repr(base64.b64decode(KEY)) not in shown


def test_the_platforms_that_are_taken_are_those_that_packages_are_installed_for():
    assert set(TargetPlatform) == PLATFORMS.keys() == SUBDIRS.keys()
