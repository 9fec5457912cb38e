"""How clusters are reached: with tokens and certificates from settings, from key vaults, from Azure, from a pod."""

import asyncio
import base64
import json
import tempfile
from typing import Any

import pytest
import yaml
from azure.core.exceptions import ServiceRequestError
from azure.identity import CredentialUnavailableError

from shared.compute.kubernetes.api import KubernetesApi
from shared.compute.kubernetes.azure import AKS_SCOPE, IdentityToken
from shared.compute.kubernetes.connections import Surroundings, connecting
from shared.compute.kubernetes.endpoint import ConnectionInvalid
from shared.domain.compute_resources import ClusterConnection
from shared.domain.computing import CollectionTargets
from shared.domain.errors import ServiceError, Unavailable
from shared.settings.compute import ComputeSettings
from tests.clusters.azure import AKS_ID, TOKEN, VAULT, AzureStandIn
from tests.clusters.certificates import Authority
from tests.clusters.stand_in import StandIn
from tests.clusters.stand_in.callers import kubeconfig

SETTING = "SLIPWAY_KUBECONFIG_MAIN"
IN_SETTING = ClusterConnection(kubeconfig_setting=SETTING)
IN_VAULT = ClusterConnection(kubeconfig_secret="main-cluster")
MANAGED = ClusterConnection(aks_resource_id=AKS_ID)
IN_CLUSTER = ClusterConnection(in_cluster=True)
EXEC = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": ["get-token"]}}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def azure():
    async with AzureStandIn() as running:
        yield running


@pytest.fixture
async def plain():
    async with StandIn() as running:
        yield running


@pytest.fixture
async def guarded(authority, tmp_path):
    """One by TLS, under an address and a name."""
    async with StandIn(tls=authority.server(tmp_path, "127.0.0.1", "kubernetes")) as running:
        yield running


async def version(connection: ClusterConnection, text: str = "", **around: Any) -> str:
    """Connect, and ask for the version, with an object of the namespace before it, which takes a sign-in."""
    api = KubernetesApi(connecting(connection, settings(text), Surroundings(**around)), "default")
    try:
        assert await api.has_namespace()
        return await api.version()
    finally:
        await api.close()


def settings(text: str = "", vault: str = VAULT) -> ComputeSettings:
    held = {SETTING: text} if text else {}
    return ComputeSettings(local=None, kubeconfigs=held, key_vault=vault, targets=CollectionTargets())


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_a_setting_holds_a_kubeconfig_as_yaml_or_json(plain):
    assert await version(IN_SETTING, plain.kubeconfig)
    assert await version(IN_SETTING, json.dumps(yaml.safe_load(plain.kubeconfig)))


async def test_a_client_certificate_signs_in_and_leaves_no_file(guarded, authority, tmp_path, monkeypatch):
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    certificate, key = authority.issue("slipway")
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    known = {"certificate-authority-data": encoded(authority.pem)}
    assert await version(IN_SETTING, json.dumps(kubeconfig(guarded.url, user, **known)))
    assert not list(scratch.iterdir())


async def test_a_cluster_with_another_certificate_is_sent_no_token(guarded):
    known = {"certificate-authority-data": encoded(Authority().pem)}
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        await version(IN_SETTING, json.dumps(kubeconfig(guarded.url, {"token": "secret"}, **known)))
    assert guarded.calls == []


async def test_a_cluster_is_known_by_the_name_in_its_certificate(authority, tmp_path):
    async with StandIn(tls=authority.server(tmp_path, "kubernetes")) as named:
        known = {"certificate-authority-data": encoded(authority.pem)}
        user = {"token": next(iter(named.tokens))}
        with pytest.raises(Unavailable):
            await version(IN_SETTING, json.dumps(kubeconfig(named.url, user, **known)))
        known["tls-server-name"] = "kubernetes"
        assert await version(IN_SETTING, json.dumps(kubeconfig(named.url, user, **known)))


async def test_an_operator_may_do_without_verification(guarded):
    user = {"token": next(iter(guarded.tokens))}
    assert await version(IN_SETTING, json.dumps(kubeconfig(guarded.url, user, **{"insecure-skip-tls-verify": True})))


async def test_a_proxy_is_the_kubeconfig_s(plain):
    text = json.dumps(kubeconfig(plain.url, {"token": next(iter(plain.tokens))}, **{"proxy-url": "http://127.0.0.1:1"}))
    with pytest.raises(Unavailable):
        await version(IN_SETTING, text)
    assert plain.calls == []


SECRET = "the-secret-itself"
HTTPS = "https://cluster.example.com"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"{SETTING}, which is to hold a kubeconfig, is missing"),
        (f"token: [{SECRET}", "neither YAML nor JSON"),
        (SECRET, "holds no kubeconfig"),
        (json.dumps({"users": [{"token": SECRET}]}), "does not say which context is the current one"),
        (json.dumps(kubeconfig(HTTPS, {}) | {"current-context": "x"}), "has no context named 'x'"),
        (json.dumps(kubeconfig(HTTPS, {}) | {"clusters": SECRET}), "has no cluster named 'there'"),
        (json.dumps(kubeconfig(HTTPS, EXEC)), r"by a program \(exec\)"),
        (json.dumps(kubeconfig(HTTPS, {"auth-provider": {"name": "gcp"}})), r"by a program \(auth-provider\)"),
        (json.dumps(kubeconfig(HTTPS, {"tokenFile": "/etc/passwd"})), r"names a file \(tokenFile\)"),
        (json.dumps(kubeconfig(HTTPS, {"client-key": "/x"})), r"names a file \(client-key\)"),
        (json.dumps(kubeconfig(HTTPS, {}, **{"certificate-authority": "/x"})), r"names a file \(certificate-authority\)"),
        (json.dumps(kubeconfig(HTTPS, {"username": "me", "password": SECRET})), "has a password"),
        (json.dumps(kubeconfig(HTTPS, {"token": SECRET, "as": "reader"})), "says as, which is not taken"),
        (json.dumps(kubeconfig(HTTPS, {"token": SECRET, "as-groups": ["readers"]})), "says as-groups, which is not taken"),
        (json.dumps(kubeconfig(HTTPS, {"token": SECRET, "impersonate": "x"})), "says impersonate, which is not taken"),
        (json.dumps(kubeconfig(HTTPS, {"token": SECRET}, socks="x")), "says socks, which is not taken"),
        ("[" * 5000, "neither YAML nor JSON"),
        (json.dumps(kubeconfig(HTTPS, {"client-key-data": encoded(SECRET)})), "and not the other"),
        (json.dumps(kubeconfig(HTTPS, {}, **{"certificate-authority-data": "%%%"})), "no PEM in base64"),
        (json.dumps(kubeconfig("http://cluster.example.com", {"token": SECRET})), "not reached by https"),
        (json.dumps(kubeconfig("http://[", {"token": SECRET})), "no URL"),
        (json.dumps(kubeconfig(HTTPS, {}, **{"certificate-authority-data": encoded(SECRET)})), "certificate or key"),
        (
            json.dumps(kubeconfig(HTTPS, {"client-certificate-data": encoded(SECRET), "client-key-data": encoded(SECRET)})),
            "certificate or key",
        ),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_says_why_and_shows_nothing(text, said):
    with pytest.raises(ConnectionInvalid, match=said) as failure:
        await version(IN_SETTING, text)
    assert SECRET not in str(failure.value)
    assert SECRET not in repr(failure.value)
    assert not failure.value.retryable


async def test_a_kubeconfig_comes_from_the_key_vault(plain, azure):
    azure.secrets["main-cluster"] = plain.kubeconfig
    assert await version(IN_VAULT, azure=azure.azure)
    assert azure.asked[0].startswith("GET kv-sdk-test.vault.azure.net/secrets/main-cluster/?api-version=")
    assert azure.identity.scopes == ["https://vault.azure.net/.default"]
    assert azure.identity.open == 0


async def test_a_kubeconfig_is_read_again_when_the_cluster_does_not_know_it(plain, azure):
    azure.secrets["main-cluster"] = plain.kubeconfig
    api = KubernetesApi(connecting(IN_VAULT, settings(), Surroundings(azure=azure.azure)), "default")
    assert await api.has_namespace()
    plain.tokens = {"the-next-token"}
    azure.secrets["main-cluster"] = json.dumps(kubeconfig(plain.url, {"token": "the-next-token"}))
    reads = len(azure.asked)
    assert await asyncio.gather(*(api.has_namespace() for _ in range(20))) == [True] * 20
    assert len(azure.asked) - reads <= 2
    await api.close()


async def test_a_kubeconfig_is_read_again_when_the_cluster_is_not_where_it_was(plain, azure):
    azure.secrets["main-cluster"] = json.dumps(kubeconfig("http://127.0.0.1:1", {"token": "second"}))
    plain.tokens = {"second"}
    api = KubernetesApi(connecting(IN_VAULT, settings(), Surroundings(azure=azure.azure)), "default")
    with pytest.raises(Unavailable):
        await api.version()
    azure.secrets["main-cluster"] = json.dumps(kubeconfig(plain.url, {"token": "second"}))
    assert await api.version()
    assert await api.version()
    assert len(azure.asked) == 2
    await api.close()


async def test_a_key_vault_that_is_not_set_is_named():
    with pytest.raises(ConnectionInvalid, match="SLIPWAY_KEY_VAULT is missing"):
        await connecting(IN_VAULT, settings(vault=""))()


@pytest.mark.parametrize("connection", [IN_VAULT, MANAGED])
@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (403, "ClusterCredentialsDenied", False),
        (404, "ClusterConnectionInvalid", False),
        (503, "ClusterCredentialsAway", True),
        (429, "ClusterCredentialsAway", True),
    ],
)
async def test_what_azure_does_not_give_is_named(azure, connection, status, code, retryable):
    azure.status = status
    with pytest.raises(ServiceError, match=r"main-cluster|clustername1") as failure:
        await version(connection, azure=azure.azure)
    assert (failure.value.code, failure.value.retryable) == (code, retryable)
    assert azure.identity.open == 0


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (CredentialUnavailableError("no managed identity"), "ClusterCredentialsDenied"),
        (ServiceRequestError("cannot connect"), "ClusterCredentialsAway"),
    ],
)
async def test_an_identity_that_is_away_may_come_back(azure, refused, code):
    azure.identity.refused = refused
    for connection in (IN_VAULT, MANAGED):
        with pytest.raises(ServiceError) as failure:
            await version(connection, azure=azure.azure)
        assert (failure.value.code, failure.value.retryable) == (code, True)


async def test_a_managed_cluster_is_signed_in_to_as_the_app(guarded, authority, azure):
    known = {"certificate-authority-data": encoded(authority.pem)}
    azure.kubeconfig = yaml.safe_dump(kubeconfig(guarded.url, EXEC, **known))
    guarded.tokens = {TOKEN}
    assert await version(MANAGED, azure=azure.azure)
    (asked,) = azure.asked
    assert asked.startswith(f"POST management.azure.com{AKS_ID}/listClusterUserCredential?api-version=")
    assert azure.identity.scopes == ["https://management.azure.com/.default", AKS_SCOPE]


async def test_a_managed_cluster_that_entra_does_not_guard_gives_a_certificate(guarded, authority, azure):
    certificate, key = authority.issue("clusterUser")
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    known = {"certificate-authority-data": encoded(authority.pem)}
    azure.kubeconfig = yaml.safe_dump(kubeconfig(guarded.url, user, **known))
    guarded.tokens = set()
    assert await version(MANAGED, azure=azure.azure)
    assert AKS_SCOPE not in azure.identity.scopes


async def test_an_answer_of_another_shape_is_no_kubeconfig(azure):
    azure.kubeconfig = ""
    with pytest.raises(ConnectionInvalid, match="holds no kubeconfig"):
        await version(MANAGED, azure=azure.azure)


async def test_a_token_is_renewed_shortly_before_it_ends(azure):
    moment = 1000.0
    azure.identity.ends = 4600
    token = IdentityToken(azure.azure, now=lambda: moment)
    assert await asyncio.gather(token(), token(), token()) == [TOKEN] * 3
    moment = 4299.0
    assert await token() == TOKEN
    assert azure.identity.scopes == [AKS_SCOPE]
    moment = 4301.0
    await token()
    assert azure.identity.scopes == [AKS_SCOPE] * 2


async def test_a_pod_signs_in_with_the_token_that_is_there_now(guarded, authority, tmp_path):
    host, _, port = guarded.url.removeprefix("https://").partition(":")
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    (tmp_path / "ca.crt").write_text(authority.pem)
    (tmp_path / "token").write_text("first\n")
    guarded.tokens = {"first"}
    around = Surroundings(environment=environment, service_account=tmp_path)
    api = KubernetesApi(connecting(IN_CLUSTER, settings(), around), "default")
    assert await api.has_namespace()
    (tmp_path / "token").write_text("second")
    guarded.tokens = {"second"}
    assert await api.has_namespace()
    await api.close()


async def test_an_app_outside_of_a_cluster_is_told_so(tmp_path):
    with pytest.raises(ConnectionInvalid, match="does not run in a cluster"):
        await version(IN_CLUSTER, environment={})
    environment = {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConnectionInvalid, match="no service account"):
        await version(IN_CLUSTER, environment=environment, service_account=tmp_path)
