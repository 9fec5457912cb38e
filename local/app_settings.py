"""What a stack tells the function app: settings of its own, and those that whoever starts it has chosen."""

import logging
import sys
from collections.abc import Mapping

from local.azurite.server import AzuriteAddress
from local.errors import StackError
from local.home import Home
from local.issuer import AUDIENCE, Issuer
from local.machine import this_platform
from local.ports import Ports
from local.upload import CONTAINER as UPLOADS
from shared.domain.wire import MOST_BODY_BYTES
from shared.settings.names import is_setting, unknown

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_ACCOUNT = f"{SUBSCRIPTION}/local/local"
_ISSUER = "the stack has a token issuer of its own"
_NODE = "the stack has a compute node of its own"
_STORAGE = "the stack has a storage of its own"
_OWN = {
    "AzureWebJobsStorage": _STORAGE,
    "AzureWebJobsStorage__accountName": _STORAGE,
    "SLIPWAY_SECRET": "the stack keeps a secret of its own",
    "SLIPWAY_ENTRA_TENANT": _ISSUER,
    "SLIPWAY_TOKEN_ISSUERS": _ISSUER,
    "SLIPWAY_TOKEN_AUDIENCES": _ISSUER,
    "SLIPWAY_TOKEN_JWKS_URL": _ISSUER,
    "SLIPWAY_LOCAL_COMPUTE_URL": _NODE,
    "SLIPWAY_LOCAL_COMPUTE_TOKEN": _NODE,
    "SLIPWAY_LOCAL_FRONT_END": _NODE,
}
"""What a stack does not take from the environment, and why."""
_MOST_BODY = MOST_BODY_BYTES + 64 * 1024
"""What the host reads of a request before its caller is known: a little more than the API takes, which the API then says."""

_logger = logging.getLogger("local")


def chosen_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of the environment that a stack takes; of the others it says why not.

    Raises StackError for names that are no settings, and for a choice that makes services that cannot run.
    """
    if mistaken := unknown(environment):
        raise StackError("\n".join(mistaken))
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    for name in _OWN.keys() & given.keys():
        _logger.warning("%s of the environment is not used: %s.", name, _OWN[name])
    chosen = {name: value for name, value in given.items() if is_setting(name) and name not in _OWN}
    return chosen | _target(chosen)


def app_settings(
    chosen: Mapping[str, str], home: Home, ports: Ports, azurite: AzuriteAddress, issuer: Issuer
) -> dict[str, str]:
    """The app settings of the function app: README, Settings."""
    # Images go to the registry that was chosen, if one was, where clusters can pull them.
    images = {} if "SLIPWAY_REGISTRY" in chosen else {"SLIPWAY_IMAGES": str(home.folder / "images")}
    return {
        "SLIPWAY_COLLECTION_STORAGE": azurite.connection_string,
        **images,
        **chosen,
        **_added(chosen, "SLIPWAY_ACCOUNTS", _ACCOUNT),
        **_added(chosen, "SLIPWAY_COMMAND_ACCOUNTS", _ACCOUNT),
        **_added(chosen, "SLIPWAY_FETCH_ALLOW", f"127.0.0.1:{azurite.blob}"),
        **_added(chosen, "SLIPWAY_FETCH_CONTAINERS", UPLOADS),
        **(_added(chosen, "SLIPWAY_FETCH_HOSTS", "127.0.0.1") if "SLIPWAY_FETCH_HOSTS" in chosen else {}),
        "AzureWebJobsStorage": azurite.connection_string,
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(_MOST_BODY),
        "SLIPWAY_SECRET": home.secret("secret"),
        "SLIPWAY_TOKEN_ISSUERS": issuer.signer.url,
        "SLIPWAY_TOKEN_AUDIENCES": AUDIENCE,
        "SLIPWAY_TOKEN_JWKS_URL": issuer.keys_url,
        "SLIPWAY_LOCAL_COMPUTE_URL": f"http://127.0.0.1:{ports.control}",
        "SLIPWAY_LOCAL_COMPUTE_TOKEN": home.secret("compute-token"),
        "SLIPWAY_LOCAL_FRONT_END": f"http://127.0.0.1:{ports.front_end}",
    }


def _added(chosen: Mapping[str, str], name: str, own: str) -> dict[str, str]:
    return {name: f"{own},{chosen[name]}" if name in chosen else own}


def _target(chosen: Mapping[str, str]) -> dict[str, str]:
    """What images are built for where nothing else is chosen; without a registry that is this machine, and nothing else."""
    system, _, architecture = this_platform().partition("/")
    if "SLIPWAY_REGISTRY" in chosen:
        return {"SLIPWAY_TARGET_PLATFORM": chosen.get("SLIPWAY_TARGET_PLATFORM", f"linux/{architecture}")}
    here = {
        "SLIPWAY_TARGET_PLATFORM": f"{system}/{architecture}",
        "SLIPWAY_TARGET_PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    for name, value in here.items():
        if chosen.get(name, value) != value:
            raise StackError(
                f"{name}={chosen[name][:40]} would make services that cannot run: without SLIPWAY_REGISTRY they run on this "
                f"machine, which is {value}. Leave it out, or build for a cluster: set SLIPWAY_REGISTRY."
            )
    return here
