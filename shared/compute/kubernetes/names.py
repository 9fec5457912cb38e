"""What the objects of a service are called, and what tells whose they are: names and labels.

Source: Kubernetes' recommended labels and its syntax of label values; client-facts.md, 35.
"""

import hashlib
import hmac
import re

from shared.compute.environment import image_version
from shared.domain.accounts import Account
from shared.domain.computing import ServiceSpec

SERVICE_ID = "slipway.io/service-id"
SERVICE_NAME = "slipway.io/service-name"
ACCOUNT = "slipway.io/account"
APP = "slipway.io/app"
"""Label of the app whose object it is: several may use one namespace."""
CLAIM = "slipway.io/claim"
REVISION = "slipway.io/revision"
"""Label of the pods of one template, and of no other (`objects.revision`)."""
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "slipway"

_LONGEST_LABEL = 63


def app_id(secret: bytes) -> str:
    """What tells the objects of the app with that secret from those of others, and tells nothing of it."""
    return hmac.new(secret, b"app of kubernetes objects", hashlib.sha256).hexdigest()[:32]


def object_name(service_id: str) -> str:
    """The name of every object of that service: it holds the id, so no two services have one in common."""
    return f"slipway-{service_id}"


def selector(service_id: str) -> str:
    """The label selector, as text, of all objects of that service."""
    return f"{SERVICE_ID}={service_id}"


def pod_labels(service_id: str) -> dict[str, str]:
    """The label that pods are selected by: a Deployment's selector never changes, so it is nothing that could."""
    return {SERVICE_ID: service_id}


def account_label(account: Account) -> str:
    """The account's scope as a label: its digest, for its text may be anything."""
    return hashlib.sha256(account.scope.encode()).hexdigest()[:32]


def labels(spec: ServiceSpec) -> dict[str, str]:
    """The labels of every object of the service, pods included."""
    return {
        "app.kubernetes.io/name": spec.service_name,
        "app.kubernetes.io/instance": object_name(spec.service_id),
        "app.kubernetes.io/version": _label_value(image_version(spec.image_location)),
        "app.kubernetes.io/component": "scoring",
        "app.kubernetes.io/part-of": "slipway",
        MANAGED_BY: MANAGER,
        "mmsserviceidhash": hashlib.md5(spec.service_id.encode(), usedforsecurity=False).hexdigest(),
        SERVICE_ID: spec.service_id,
        SERVICE_NAME: spec.service_name,
        ACCOUNT: account_label(spec.account),
    }


def _label_value(text: str) -> str:
    """As much of it as a label may hold: tags are longer, and begin and end with more characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text)[:_LONGEST_LABEL].strip("_.-")
