"""The kinds of text that requests hold, each checked for what it claims to be.

Source: api.md; client-facts.md 3, 11, 17, 21, 34; RFC 6838 (media types); Kubernetes' quantity format.
"""

import re
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from shared.domain.ids import canonical

_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(rf'{_RESTRICTED_NAME}/{_RESTRICTED_NAME}(\s*;\s*[^\s=;]+=("[^"]*"|[^\s;"]+))*')
_LONGEST_QUANTITY = 40
_QUANTITY = re.compile(r"(?P<number>\d+(\.\d*)?|\.\d+)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2})?")
_COMPUTE_ID = re.compile(
    r"/subscriptions/[^/?#\s]+/resourcegroups/[^/?#\s]+/providers/microsoft\.machinelearningcompute"
    r"/operationalizationclusters/[^/?#\s]+",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FACTORS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000)}
_FACTORS |= {letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)}
_FACTORS |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}


def _uuid(text: str) -> str:
    identifier = canonical(text)
    if identifier is None:
        raise ValueError("accepts a UUID, as 8-4-4-4-12 hexadecimal digits")
    return identifier


def _registered_name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}", text):
        raise ValueError("accepts 1 to 255 letters, digits, '.', '_' and '-', the first a letter or digit")
    return text


def _dns_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,30}[a-z0-9]", text):
        raise ValueError("accepts 3 to 32 lower-case letters, digits, '-' and '.', first and last a letter or digit")
    return text


def _url(text: str) -> str:
    expected = "accepts an absolute http or https URL of at most 4096 ASCII characters"
    if len(text) > 4096 or _CONTROL.search(text) or " " in text or not text.isascii():
        raise ValueError(expected)
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(expected)
    if "@" in parts.netloc:
        raise ValueError("accepts a URL without a user or password in it")
    return text


def _media_type(text: str) -> str:
    if not _MEDIA_TYPE.fullmatch(text):
        raise ValueError("accepts a media type such as application/json")
    return text


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity stands for; raises ValueError when it is none, or not above zero."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST_QUANTITY else None
    if not match:
        raise ValueError("accepts a Kubernetes quantity such as 0.5, 250m or 512Mi")
    suffix = match["suffix"] or ""
    exponent = suffix[:1] in ("e", "E") and len(suffix) > 1
    value = Decimal(match["number"]) * (Decimal(f"1{suffix}") if exponent else _FACTORS[suffix])
    if value <= 0:
        raise ValueError("accepts a Kubernetes quantity above zero")
    return value


def _quantity_text(text: str) -> str:
    quantity(text)
    return text


def _compute_resource_id(text: str) -> str:
    if not _COMPUTE_ID.fullmatch(text):
        raise ValueError(
            "accepts /subscriptions/{s}/resourcegroups/{rg}/providers/Microsoft.MachineLearningCompute"
            "/operationalizationClusters/{name}"
        )
    return text


def _tag(text: str) -> str:
    if not 1 <= len(text) <= 256 or _CONTROL.search(text):
        raise ValueError("accepts 1 to 256 characters, none of them a control character")
    return text


Id = Annotated[str, AfterValidator(_uuid)]
RegisteredName = Annotated[str, AfterValidator(_registered_name)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
Url = Annotated[str, AfterValidator(_url)]
MediaType = Annotated[str, AfterValidator(_media_type)]
Quantity = Annotated[str, AfterValidator(_quantity_text)]
ComputeResourceId = Annotated[str, AfterValidator(_compute_resource_id)]
Tag = Annotated[str, AfterValidator(_tag)]
Description = Annotated[str, Field(max_length=4096)]
